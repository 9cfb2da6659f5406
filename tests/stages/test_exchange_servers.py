"""`review export-to --url` and `import-from --url` by the official SDKs: a real Label Studio, a stand-in for CVAT."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from test_exchange import FIRST, SECOND, THIRD, apply, but, by_id, changes, export_to, import_from, small, swapped, told

from conftest import ROOT, Command
from make_records import read_rows
from returned_files import from_cvat, from_labelstudio, write_xml
from stand_in_cvat import TOKEN, stand_in

pytestmark = pytest.mark.slow
EXCHANGE = ROOT / "tests/exchange"
KEY = "0123456789abcdef0123456789abcdef01234567"
STARTS_S = 600  # half a minute on a quiet machine


@dataclass(frozen=True)
class Environment:
    """An environment with the SDKs, Label Studio itself and Datumaro, apart from ours: their versions differ."""

    folder: Path

    @property
    def packages(self) -> str:
        """The folder of its packages."""
        return str(next(self.folder.glob("lib/python*/site-packages")))

    def python(self, *arguments: object) -> str:
        """Run its Python; return what that prints."""
        command = [str(self.folder / "bin/python"), *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install the locked packages, or skip with a message."""
    folder = tmp_path_factory.mktemp("exchange") / "venv"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not here")
    steps = (
        ["venv", "-q", "--python", sys.executable, str(folder)],
        ["pip", "install", "-q", "--python", str(folder), "--require-hashes", "-r", str(EXCHANGE / "requirements.txt")],
    )
    for step in steps:
        done = subprocess.run([uv, *step], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"Label Studio and the SDKs cannot be installed here: {done.stderr[-300:]}")
    return Environment(folder)


@pytest.fixture
def sdks(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Have the SDKs importable, behind our own packages."""
    monkeypatch.setattr(sys, "path", [*sys.path, environment.packages])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return environment


# --- CVAT --------------------------------------------------------------------------------------------------------


def test_a_round_trip_through_cvats_sdk(
    secondlook: Command, tmp_path: Path, sdks: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sdks.packages
    made = small(tmp_path)
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", TOKEN)
    with stand_in() as site:
        server = ("--url", site.url, "--project", "signs, round 1")
        result = secondlook("review", "export-to", "cvat", made.results, "--out", tmp_path / "out", *server)
        assert result.code == 0, result.err
        assert result.err.splitlines()[-1] == f"review: {site.url}/tasks/1"
        assert [task["name"] for task in site.tasks] == ["signs, round 1"]
        assert site.tasks[0]["labels"] == json.loads((tmp_path / "out/labels.json").read_text())
        assert site.uploaded == (tmp_path / "out/annotations.json").read_bytes()
        work = from_cvat(tmp_path / "out")
        assert set(site.images) == set(work.sizes)
        again = secondlook("review", "export-to", "cvat", made.results, "--out", tmp_path / "out", *server)
        assert "has a task called `signs, round 1` already" in again.err

        site.exported = write_xml(
            tmp_path / "a.xml", swapped(work, FIRST, by_id(work, FIRST).labelled("stop"))
        ).read_bytes()
        back = ("--results", made.results, "--out", tmp_path / "back", "--reviewer", "ann")
        for _ in range(2):  # a file that came back before is replaced
            result = secondlook("review", "import-from", "cvat", *back, *server)
            assert result.code == 0, result.err
        assert told(made.results) == but(("relabelled", FIRST, "stop"))
        result = secondlook("review", "import-from", "cvat", *back, "--url", site.url, "--project", "other")
        assert (result.code, "has no tasks called `other`" in result.err) == (1, True)

        monkeypatch.setenv("CVAT_ACCESS_TOKEN", "wrong-token-of-mine")
        result = secondlook("review", "import-from", "cvat", *back, *server)
        assert (result.code, "answers with status 401" in result.err) == (1, True)
        assert "wrong-token" not in result.err
    result = secondlook("review", "import-from", "cvat", *back, *server)
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith(f"secondlook: {site.url}: cannot be used (")
    monkeypatch.delenv("CVAT_ACCESS_TOKEN")
    result = secondlook("review", "import-from", "cvat", *back, *server)
    assert (result.code, "CVAT_ACCESS_TOKEN" in result.err) == (2, True)


def test_datumaro_reads_and_writes_what_goes_to_cvat(
    secondlook: Command, tmp_path: Path, environment: Environment
) -> None:
    made = small(tmp_path)
    file = export_to(secondlook, "cvat", made.results, tmp_path / "out", "--all") / "annotations.json"
    read = environment.python(EXCHANGE / "datumaro_round_trip.py", file, tmp_path / "again")
    assert read.strip() == "4"
    assert import_from(secondlook, "cvat", tmp_path / "again", made.results).code == 0
    assert Counter(changes(made.results)["kind"]) == {"unchanged": 4}
    assert set(changes(made.results)["matched_by"]) == {"id"}


# --- Label Studio ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def label_studio(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a real Label Studio with a user of its own; yield its address."""
    folder, port = tmp_path_factory.mktemp("label-studio"), 8000 + os.getpid() % 1000
    program = environment.folder / "bin/label-studio"
    settings = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_USERNAME": "ann@example.org",
        "LABEL_STUDIO_PASSWORD": "a-password",
        "LABEL_STUDIO_USER_TOKEN": KEY,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [str(program), "start", "--no-browser", "--port", str(port), "--internal-host", "127.0.0.1"]
    log = (folder / "log").open("w")
    process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _await(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=120)


def _await(address: str, process: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + STARTS_S
    while time.monotonic() < ends and process.poll() is None:
        try:
            if requests.get(f"{address}/health", timeout=5, proxies={"http": ""}).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.5)
    pytest.fail("Label Studio does not start")


def test_a_round_trip_through_a_real_label_studio(
    secondlook: Command, tmp_path: Path, sdks: Environment, label_studio: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sdks.packages
    made = small(tmp_path)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    server = ("--url", label_studio, "--project", "signs, round 1")
    result = secondlook("review", "export-to", "labelstudio", made.results, "--out", tmp_path / "out", *server)
    assert result.code == 0, result.err
    assert result.err.splitlines()[-1].startswith(f"review: {label_studio}/projects/")
    again = secondlook("review", "export-to", "labelstudio", made.results, "--out", tmp_path / "out", *server)
    assert "has a project called `signs, round 1` already" in again.err
    back = ("--results", made.results, "--out", tmp_path / "back", "--reviewer", "ann")
    nothing = secondlook("review", "import-from", "labelstudio", *back, *server)
    assert "no task is answered (nobody annotated its task)" in nothing.err

    import httpx
    import label_studio_sdk

    with httpx.Client(timeout=60) as connection:
        client = label_studio_sdk.LabelStudio(base_url=label_studio, api_key=KEY, httpx_client=connection)
        [project] = client.projects.list()
        numbers = {task.data["image"]: task.id for task in client.tasks.list(project=project.id)}
        first, second = json.loads((tmp_path / "out" / "tasks.json").read_text())
        shown = first["predictions"][0]["result"]
        shown[0]["value"]["rectanglelabels"] = ["stop"]
        regions = [{**region, "id": f"new{place}"} for place, region in enumerate(shown)]  # as a browser makes them
        client.annotations.create(id=numbers[first["data"]["image"]], result=regions)
        client.annotations.create(id=numbers[second["data"]["image"]], result=[], was_cancelled=True)

    result = secondlook("review", "import-from", "labelstudio", *back, *server)

    assert result.code == 0, result.err
    assert told(made.results) == sorted(
        [("relabelled", FIRST, "stop"), ("unchanged", SECOND, ""), ("not_returned", THIRD, "")]
    )
    assert set(changes(made.results)["matched_by"]) == {"id", ""}
    [row] = apply(secondlook, made.results)
    assert (row["labeler"], row["label"], row["sample"]) == ("human:ann", "stop", "queue")
    assert row["decided_at"].startswith("20")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "wrong-key-of-mine")
    result = secondlook("review", "import-from", "labelstudio", *back, *server)
    assert (result.code, "answers with status 401" in result.err) == (1, True)
    assert "wrong-key" not in result.err


def test_the_sdk_of_label_studio_accepts_the_tasks_and_the_config(
    secondlook: Command, tmp_path: Path, sdks: Environment
) -> None:
    assert sdks.packages
    made = small(tmp_path)
    out = export_to(secondlook, "labelstudio", made.results, tmp_path / "out", "--all")
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface((out / "config.xml").read_text())
    interface.validate()
    tasks = json.loads((out / "tasks.json").read_text())
    for task in tasks:
        assert interface.validate_task({"data": task["data"]})
        [prediction] = task["predictions"]
        assert interface.validate_prediction(prediction, return_errors=True) == []
    known = {row["instance_id"] for row in read_rows(made.results / "ingest" / "instances.parquet")}
    assert {one.id for one in from_labelstudio(out).boxes} == known


@pytest.mark.parametrize(
    ("tool", "package"), [("cvat", "cvat-sdk"), ("labelstudio", "label-studio-sdk")], ids=["CVAT", "Label Studio"]
)
def test_a_missing_sdk_is_named(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    made = small(tmp_path)
    arguments = (tool, made.results, "--out", tmp_path / "out", "--url", "http://127.0.0.1:9", "--project", "signs")
    result = secondlook("review", "export-to", *arguments)
    assert result.code == 2
    assert f"--url needs the package {package}; install it: pip install 'secondlook[exchange]'." in result.err
    assert not (tmp_path / "out").exists()
    assert not (made.results / "sent").exists()
