"""No command of the pipelines video, scenes and retrieve writes over what it reads."""

from pathlib import Path

import pytest

from conftest import Command

CASES = [
    pytest.param("video import L --frames {f} --name moving --out {f}", id="video import: the frames"),
    pytest.param("video import L --frames o.json --name moving --out L/000001.json", id="video import: a label file"),
    pytest.param("video merge {f} {f} --out {f}", id="video merge"),
    pytest.param("video boxes o.json {f} --out {f}", id="video boxes"),
    pytest.param("video group {f} --motion L --out {f}", id="video group"),
    pytest.param("video predict {f} --weights L --out {f}", id="video predict"),
    pytest.param("video frames L --out o.json --listed o.rejects.csv", id="video frames: the list"),
    pytest.param("video frames L --out L.json", id="video frames: the clips"),
    pytest.param("video look L --weights w.pth --out L", id="video look"),
    pytest.param("video draw --out L --truth L", id="video draw"),
    pytest.param("video motion {f} --truth T --out T", id="video motion: the truth"),
    pytest.param("video train L/metrics.csv --out L", id="video train: the labels"),
    pytest.param(
        'video train {f} --out W --options {{"network":{{"weights":"W/weights.safetensors"}}}}', id="video train"
    ),
    pytest.param("video import W/weights.safetensors --out W", id="video import: the weights"),
    pytest.param("video evaluate --truth T --round a={f} --summary {f} --out O", id="video evaluate: the summary"),
    pytest.param("video evaluate --truth L --round a={f} --out L", id="video evaluate: the truth"),
    pytest.param("scenes draw --out L --truth L", id="scenes draw"),
    pytest.param("scenes predict L/masks --weights W --out L", id="scenes predict: images are its masks"),
    pytest.param("scenes split --published train=L/train.txt --out L", id="scenes split"),
    pytest.param("scenes hand-over L --splits s --predicted P --conflicts c --out L", id="scenes hand-over"),
    pytest.param("scenes train L/metrics.csv --splits s --out L", id="scenes train"),
    pytest.param("scenes export L --out L/best.pth", id="scenes export"),
    pytest.param("scenes evaluate i --splits s --predicted P --truth L/scores.csv --out L", id="scenes evaluate"),
    pytest.param("retrieve combine I L/submission.json --split val --out L", id="retrieve combine"),
    pytest.param("retrieve merge {f} --texts o.txt --gallery L --out o.txt", id="retrieve merge: the queries"),
    pytest.param("retrieve score {f} --labels o.txt --out {f}", id="retrieve score"),
    pytest.param("retrieve check {f} --rejects {f}", id="retrieve check"),
    pytest.param("retrieve pairs L --completed o.csv --out o.csv", id="retrieve pairs"),
    pytest.param('retrieve complete L --options {{"labels":"x"}} --out L', id="retrieve complete: the index"),
    pytest.param(
        'retrieve complete I --options {{"labels":"L/doubts.csv"}} --out L', id="retrieve complete: the labels"
    ),
    pytest.param('retrieve train I --options {{"source":{{"model":"L"}}}} --out L', id="retrieve train: its start"),
    pytest.param("retrieve import f.json --architecture L --out L", id="retrieve import: the architecture"),
    pytest.param("retrieve encode L --split val --options {{}} --out L/train.parquet", id="retrieve encode"),
]

FILES = (
    *("L/masks/1.png", "L/000001.json", "L/best.pth", "L/train.parquet", "L/metrics.csv", "L/doubts.csv"),
    *("W/weights.safetensors", "f.json", "T/t.json", "o.txt"),
)


@pytest.mark.parametrize("line", CASES)
def test_no_command_writes_over_what_it_reads(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was", encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = secondlook(*line.format(f="f.json").split())
    assert done.code == 2, done.err
    assert "is read by this command" in done.err or "would be written twice" in done.err, done.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
