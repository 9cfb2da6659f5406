"""The package as it is shipped: the wheel has all that its pages need, and docs and help name what is there."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from test_paper import evaluated
from test_report import PLAIN, A, B, write_results
from test_scenes_pipeline import NETWORK

import tiny_models
from conftest import ROOT, Command
from make_results import make_results

pytestmark = pytest.mark.slow

Installed = Callable[..., str]
SHIPPED_FILES, SHIPPED_FOLDERS = ("Snakefile", "config.yaml"), ("rules", "workflow", "profiles", "envs")
VOCABULARY = ROOT / "workflow/scenes/vocabulary.yaml"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("src", *SHIPPED_FOLDERS):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (folder / "workflow/paper/prompts.yaml").write_text("of others, and never shipped")
    for name in ("pyproject.toml", "README.md", "LICENSE", *SHIPPED_FILES):
        shutil.copy(ROOT / name, folder)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", folder / "dist", folder], check=True)
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that holds the wheel, and sees the dependencies of this one but not its Second Look."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, wheel], check=True)
    own = next(folder.glob("lib/python*/site-packages"))
    # .pth files within this folder are not followed, the one of an editable install neither
    (own / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return python


SCRIPT = """
import json, sys
import secondlook, secondlook.cli
assert secondlook.__file__.startswith(sys.prefix), f"{secondlook.__file__} is not what was installed"
for arguments in json.load(sys.stdin):
    sys.argv = ["secondlook", *arguments]
    try:
        secondlook.cli.main()
    except SystemExit as stopped:
        if stopped.code:
            sys.exit(f"secondlook {' '.join(arguments)}: exit {stopped.code}")
"""


@pytest.fixture
def installed(environment: Path, tmp_path: Path) -> Installed:
    """Run commands of the installed package in an empty folder, in one process; return what they print."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*commands: list[object]) -> str:
        listed = json.dumps([[str(part) for part in command] for command in commands])
        done = subprocess.run(
            [environment, "-c", SCRIPT], input=listed, capture_output=True, text=True, cwd=tmp_path, env=clean
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    package = ROOT / "src/secondlook"
    there = {f"secondlook/{path.relative_to(package).as_posix()}" for path in package.rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [ROOT / name for name in SHIPPED_FILES]
    files += [path for name in SHIPPED_FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()]
    own = {path.relative_to(ROOT).as_posix() for path in files} - {"workflow/paper/prompts.yaml"}
    there = {name for name in there if "__pycache__" not in name}
    assert shipped == there | {f"secondlook/shipped/{name}" for name in own}


def test_installed_it_runs_the_demo_in_a_project(environment: Path, tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    clean["PATH"] = os.defpath
    program = environment.parent / "secondlook"

    def ran(*arguments: object) -> str:
        command = [program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "x", env=clean)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "x").mkdir()
    ran("init")
    assert "demo_signs" in ran("check")
    said = ran("run", "demo", "--configfile", ROOT / "tests/mini.yaml")
    assert "wrong labels before" in said
    assert (tmp_path / "x/results/demo_signs/report/report.html").is_file()
    with pytest.raises(AssertionError, match="never overwritten"):
        ran("init")


def test_installed_it_says_what_would_run_and_what_it_costs(installed: Installed, tmp_path: Path) -> None:
    for name in ("config.yaml", "workflow", "Snakefile", "rules", "envs"):
        (tmp_path / name).symlink_to(ROOT / name)
    said = installed(["check"], ["plan"], ["plan", "demo_signs"])
    assert "demo_signs" in said
    assert "minutes are estimates by" in said


def test_installed_it_writes_the_pages_of_a_task_and_of_the_paper(
    installed: Installed, secondlook: Command, tmp_path: Path
) -> None:
    evaluated(secondlook, tmp_path, "bdd_vehicles")
    results = write_results(tmp_path / "task", PLAIN, [A, B])
    places: list[object] = ["--instances", results / "ingest/instances.parquet", "--votes", results / "label/small"]
    looked_at = make_results(tmp_path / "looked_at", [{"action": "review"}, {}]).results
    consensus = ["--consensus", results / "consensus/consensus.parquet"]
    installed(
        ["evaluate", *places, *consensus, "--out", results / "evaluate"],
        ["report", results, "--out", "report.html"],
        ["review", looked_at],
        ["paper", "report", "results/bdd_vehicles", "--out", "paper"],
    )
    for page in ("report.html", looked_at / "review/index.html", "paper/paper.html"):
        assert "<h1>" in (tmp_path / page).read_text(encoding="utf-8")


def test_installed_it_writes_the_page_of_video(installed: Installed, tmp_path: Path) -> None:
    clip: list[object] = ["--truth", "truth", "--options", "{clips: 1, frames: 3}"]
    installed(
        ["video", "draw", "--out", "clips", *clip],
        ["video", "frames", "clips", "--out", "frames.json", "--options", "{stride: 1}"],
        ["video", "motion", "frames.json", "--out", "m", "--truth", "truth", "--options", "{depth: truth}"],
        ["video", "group", "frames.json", "--motion", "m", "--out", "moving.json"],
        ["video", "evaluate", "--truth", "truth", "--round", "moving=moving.json", "--out", "out"],
    )  # fmt: skip
    assert "<h1>" in (tmp_path / "out/video.html").read_text(encoding="utf-8")


def test_installed_it_writes_the_page_of_retrieve(installed: Installed, tmp_path: Path) -> None:
    model = tiny_models.tiny_open_clip(tmp_path / "tiny", vocabulary=49408, context=60)
    recipe = ["--options", json.dumps({"source": {"model": str(model)}})]
    sizes = {"train": [4, 4], "val": [8, 8], "test": [8, 8], "brands": 2, "people": 3, "px": 40}
    installed(
        ["retrieve", "draw", "--out", "d", "--options", json.dumps(sizes)],
        ["retrieve", "index", "d", "--out", "r/index", "--truth", "d/truth/test_label.txt"],
        ["retrieve", "encode", "r/index", "--split", "test", "--out", "v", *recipe],
        ["retrieve", "rank", "r/index", "--split", "test", "--vectors", "v", "--out", "r/mine/test", *recipe],
        ["retrieve", "report", "r", "mine", "--out", "r/report"],
    )
    assert "<h1>" in (tmp_path / "r/report/retrieve.html").read_text(encoding="utf-8")


def test_installed_it_writes_the_page_of_scenes(installed: Installed, tmp_path: Path) -> None:
    drawn = {"landmarks": 3, "views": 2, "width": 56, "wrong": 0.2}
    told = {name: NETWORK[name] for name in ("network", "training")}
    images, splits, words = (
        "r/index/images.parquet",
        ["--splits", "r/split/splits.parquet"],
        ["--vocabulary", VOCABULARY],
    )
    points = ["--points", "r/correspond/points.parquet"]
    run, votes = "r/network/with_3d/1", ["--votes", "r/hand_over/votes"]
    objects, consensus = ["--instances", "r/hand_over/instances.parquet"], "r/consensus/consensus.parquet"
    installed(
        ["scenes", "draw", "--out", "d", "--truth", "d/truth", "--options", json.dumps(drawn)],
        ["scenes", "index", "d/cathedrals", "--out", "r/index"],
        ["scenes", "correspond", "d/correspondence.json", "--images", images, "--out", "r/correspond"],
        ["scenes", "text", images, "--out", "r/text", "--truth", "d/truth/images.csv", *words],
        ["scenes", "split", "--labels", "r/text/labels.parquet", "--out", "r/split", "--options", "{unseen: ['2']}",
         *words],
        ["scenes", "consistency", "r/text/labels.parquet", "--pairs", "r/correspond/pairs.parquet",
         "--out", "r/consistency", *words],
        ["scenes", "train", images, *splits, *points, "--pairs", "r/correspond/pairs.parquet",
         "--out", f"{run}/train", "--options", json.dumps(told), *words],
        ["scenes", "predict", images, *splits, "--weights", f"{run}/train", "--out", f"{run}/predict",
         "--options", json.dumps(NETWORK["inference"])],
        ["scenes", "evaluate", images, *splits, "--predicted", f"{run}/predict", "--truth", "d/truth/images.csv",
         "--out", f"{run}/evaluate", *words],
        ["scenes", "hand-over", "r/text", *splits, "--predicted", f"{run}/predict",
         "--conflicts", "r/consistency/conflicts.parquet", "--out", "r/hand_over"],
        ["consensus", *objects, *votes, "--out", consensus],
        ["evaluate", *objects, *votes, "--consensus", consensus, "--out", "r/evaluate"],
        ["scenes", "report", "r", "--run", "with_3d/1", "--out", "r/report"],
    )  # fmt: skip
    assert "<h1>" in (tmp_path / "r/report/scenes.html").read_text(encoding="utf-8")
