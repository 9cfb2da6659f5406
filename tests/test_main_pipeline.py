"""The whole main pipeline, command by command, on a slice of real street images."""

import json
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, Command, write_json

IMAGES = 60
SMALL = "{model: test_resnet, pretrained: false, input_px: 32, epochs: 3, learning_rate: 0.002, class_weights: false}"


@pytest.mark.slow
@pytest.mark.real
def test_real_street_images_from_a_coco_file_to_a_corrected_one(
    secondlook: Command, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = slice_of_gtsdb(shared_data / "gtsdb", tmp_path)
    crops, train, embed = Path("r/crop"), Path("r/train/small"), Path("r/embed/small")
    ingested = ["--instances", "r/ingest/instances.parquet"]
    consensus = Path("r/consensus/consensus.parquet")
    encoder = f"{{kind: timm, model: {train}}}"
    labelers = {
        "classifier": (crops / "00000.parquet", train, "{kind: classifier, classifier: small}"),
        "prototype": (embed / "00000.parquet", Path("r/train/prototype"), "{kind: prototype, encoder: small}"),
        "neighbours": (embed / "00000.parquet", embed / "reference.parquet", "{kind: neighbours, encoder: small}"),
    }

    def must(*arguments: object) -> None:
        result = secondlook(*arguments)
        assert result.code == 0, result.err

    parts = ["--out", "r/ingest/instances.parquet", "--rejects", "r/ingest/rejects.parquet"]
    must("ingest", "--task", task, *parts, "--reference", "r/ingest/reference.parquet")
    for source, part in (("instances", "00000"), ("reference", "reference")):
        must("crop", f"r/ingest/{source}.parquet", "--out", crops / f"{part}.parquet")
    must("train", crops / "reference.parquet", "--out", train, "--options", SMALL)
    for part in ("00000", "reference"):
        must("embed", crops / f"{part}.parquet", "--out", embed / f"{part}.parquet", "--options", encoder)
    must("train", embed / "reference.parquet", "--kind", "prototype", "--out", "r/train/prototype")
    for name, (objects, source, options) in labelers.items():
        out = f"r/label/{name}/00000.parquet"
        must("label", objects, "--source", source, "--name", name, "--out", out, "--options", options)
    votes = [part for name in labelers for part in ("--votes", f"r/label/{name}")]
    must("consensus", *ingested, *votes, "--out", consensus)
    must("evaluate", *ingested, *votes, "--consensus", consensus, "--out", "r/evaluate")
    out = "r/export/rehearsal-coco/annotations.json"
    exported = ["--label-from", "Type of Signs", "--out", out]
    must("export", "slice.json", *ingested, "--consensus", consensus, *exported)
    must("report", "r", "--out", "r/report/report.html", "--summary", "r/summary.json")

    summary = json.loads(Path("r/summary.json").read_text())
    assert summary["objects"] == summary["with_truth"] > 30
    assert 0.1 < summary["wrong_before"] / summary["objects"] < 0.4
    before, after = (json.loads(Path(path).read_text()) for path in ("slice.json", out))
    assert [entry["id"] for entry in before["annotations"]] == [entry["id"] for entry in after["annotations"]]
    assert [entry["bbox"] for entry in before["annotations"]] == [entry["bbox"] for entry in after["annotations"]]
    actions = [entry["attributes"].get("secondlook_action", "reference") for entry in after["annotations"]]
    decided = [action for action in actions if action != "reference"]
    assert len(decided) == summary["objects"]
    assert "<h1>r</h1>" in Path("r/report/report.html").read_text()


def slice_of_gtsdb(gtsdb: Path, folder: Path) -> Path:
    """Write the first images' annotations and a task file for them; return the task file."""
    document = json.loads((gtsdb / "instances_default.json").read_text())
    document["images"] = document["images"][:IMAGES]
    kept = {image["id"] for image in document["images"]}
    document["annotations"] = [entry for entry in document["annotations"] if entry["image_id"] in kept]
    write_json(folder / "slice.json", document)
    task = yaml.safe_load((ROOT / "tests/real/gtsdb_signs.yaml").read_text())
    task["dataset"] |= {"path": "slice.json", "images": str(gtsdb / "images")}
    (folder / "gtsdb_slice.yaml").write_text(yaml.safe_dump(task))
    return folder / "gtsdb_slice.yaml"
