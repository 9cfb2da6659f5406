"""Fetch against real servers on loopback: what arrives, what is asked for, what is refused, and what never shows."""

import fcntl
import gzip
import hashlib
import io
import json
import logging
import os
import resource
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import termios
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import boto3
import botocore.exceptions
import pytest
import yaml
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from conftest import ROOT, Command, Result, write_json
from range_server import Site, cut, first, serve, status
from secondlook.base.errors import DataError
from secondlook.io.net import retry_after_s

KEY = "rf_SECRET_k3y"
FAST = {"backoff_s": 0.001, "attempts": 4}


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as site:
        yield site


def fetch_url(secondlook: Command, url: str, to: Path, *more: object, **options: Any) -> Result:
    return secondlook("fetch", "--url", url, "--to", to, "--options", json.dumps({**FAST, **options}), *more)


def fetch(secondlook: Command, sources: dict[str, Any], *names: str, **options: Any) -> Result:
    given = json.dumps({**FAST, **options, "sources": sources})
    return secondlook("fetch", *(names or sources), "--options", given)


def started(url: str, to: Path, *, stderr: int | IO[str] = subprocess.PIPE) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-m",
        "secondlook",
        "fetch",
        "--url",
        url,
        "--to",
        str(to),
        "--options",
        json.dumps(FAST),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(command, stderr=stderr, text=True, env=environment)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.is_dir() else []


def noise(size: int, seed: int = 0) -> bytes:
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)


def zip_of(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


# ---- http


@pytest.mark.slow
def test_a_200_mb_zip_with_five_cuts_arrives_whole_and_each_byte_is_sent_about_once(
    secondlook: Command, site: Site, tmp_path: Path
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number in range(50):
            archive.writestr(f"images/{number}.jpg", os.urandom(4_000_000))
    site.files["/images.zip"] = packed.getvalue()
    site.misdeeds = [cut(35_000_000 + number) for number in range(5)]
    done = fetch_url(secondlook, f"{site.url}/images.zip", tmp_path / "images.zip", "--unpack")
    assert done.code == 0, done.err
    assert (tmp_path / "images.zip").read_bytes() == site.files["/images.zip"]
    assert len(list((tmp_path / "images").iterdir())) == 50
    assert len(site.asked) == 6
    assert site.sent < 1.01 * len(site.files["/images.zip"])
    assert names_in(tmp_path)[-2:] == ["images.zip", "images.zip.fetched.json"]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("to", "written"),
    [
        pytest.param("new", "new", id="a name is that of the file"),
        pytest.param("new/", "new/a.json", id="a slash makes it a folder"),
        pytest.param("there", "there/a.json", id="a folder that is there"),
    ],
)
def test_to_names_a_file_or_a_folder(secondlook: Command, site: Site, tmp_path: Path, to: str, written: str) -> None:
    (tmp_path / "there").mkdir()
    site.files["/a.json"] = b"{}"
    done = secondlook("fetch", "--url", f"{site.url}/a.json", "--to", f"{tmp_path}/{to}")
    assert done.code == 0, done.err
    assert (tmp_path / written).read_bytes() == b"{}"


def test_what_is_complete_is_not_asked_for_again(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/a.json"] = b"{}"
    target = tmp_path / "deep" / "a.json"
    assert fetch_url(secondlook, f"{site.url}/a.json", target).code == 0
    asked, before = len(site.asked), (target.parent / "a.json.fetched.json").stat().st_mtime_ns
    again = fetch_url(secondlook, f"{site.url}/a.json", target)
    assert again.code == 0
    assert "0 fetched, 1 already there, 0 failed; 0 B received" in again.err
    assert len(site.asked) == asked == 1
    assert (target.parent / "a.json.fetched.json").stat().st_mtime_ns == before


def test_the_marker_says_what_came(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/a.json"] = b"{}"
    fetch_url(secondlook, f"{site.url}/a.json", tmp_path / "a.json")
    marker = json.loads((tmp_path / "a.json.fetched.json").read_text())
    record = {"bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest(), "version": '"v1"'}
    assert marker == {
        "source": f"{site.url}/a.json", "shown": f"{site.url}/a.json", "files": {"a.json": record}, "folders": {},
    }  # fmt: skip


CONTENT = noise(300_000)


@pytest.mark.parametrize(
    ("misdeeds", "requests", "reason"),
    [
        ([status(503)], 2, "503 passes"),
        ([status(500), status(429, Retry_After="0"), status(502)], 4, "three failures in a row are borne"),
        ([cut(0)], 2, "nothing came"),
        ([cut(200_000), status(503), cut(50_000)], 4, "cuts and failures take turns"),
        ([cut(100_000), cut(70_000), cut(70_000), cut(1), status(500), status(500)], 7, "progress restores patience"),
    ],
)
def test_what_may_pass_is_tried_again(
    secondlook: Command, site: Site, tmp_path: Path, misdeeds: list[Any], requests: int, reason: str
) -> None:
    site.files["/a.bin"], site.misdeeds = CONTENT, misdeeds
    done = fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin")
    assert done.code == 0, f"{reason}: {done.err}"
    assert (tmp_path / "a.bin").read_bytes() == CONTENT, reason
    assert len(site.asked) == requests, reason


@pytest.mark.parametrize(
    ("code", "words"), [(403, "access is denied"), (404, "no such file"), (401, "login"), (410, "was removed")]
)
def test_what_will_not_pass_is_asked_for_once(
    secondlook: Command, site: Site, tmp_path: Path, code: int, words: str
) -> None:
    site.misdeeds = [status(code)] * 3
    refused = fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin")
    assert refused.code == 1
    assert words in refused.err
    assert len(site.asked) == 1
    assert names_in(tmp_path) == []


def test_a_server_that_stays_ill_ends_in_one_sentence(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.misdeeds = [status(500)] * 9
    failed = fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin")
    assert failed.code == 1
    assert "the server answered 500 (4 times in a row); run the command again later" in failed.err
    assert len(site.asked) == 4


def test_retry_after_is_waited_for(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"], site.misdeeds = CONTENT, [status(429, Retry_After="1")]
    assert fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin").code == 0
    assert site.times[1] - site.times[0] >= 1.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, 0), ("7", 7), ("soon", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("-3", 0)],
)
def test_retry_after_in_all_its_forms(text: str | None, seconds: float) -> None:
    assert retry_after_s(text) == seconds


def test_a_server_that_ignores_ranges_is_read_from_the_start(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"], site.misdeeds, site.knows_ranges = CONTENT, [cut(200_000)], False
    assert fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin").code == 0
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_and_always_cuts_is_given_up(
    secondlook: Command, site: Site, tmp_path: Path
) -> None:
    site.files["/a.bin"], site.misdeeds, site.knows_ranges = CONTENT, [cut(200_000)] * 20, False
    failed = fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin")
    assert failed.code == 1
    assert "bytes" in failed.err or "broke off" in failed.err
    assert len(site.asked) <= 5


@pytest.mark.parametrize("etag", ['"v1"', None, 'W/"weak"'])
def test_a_file_that_changes_on_the_way_is_taken_anew(
    secondlook: Command, site: Site, tmp_path: Path, etag: str | None
) -> None:
    later = noise(310_000, seed=1)

    def change() -> None:
        site.files["/a.bin"], site.etags["/a.bin"] = later, '"v2"'

    site.files["/a.bin"], site.etags["/a.bin"] = CONTENT, etag
    site.misdeeds = [cut(200_000), first(change)]
    assert fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin").code == 0
    assert (tmp_path / "a.bin").read_bytes() == later


def test_a_wrong_length_never_takes_the_name(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"], site.misdeeds = CONTENT, [cut(1000)] + [cut(0)] * 9
    failed = fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin")
    assert failed.code == 1
    assert names_in(tmp_path) == [".a.bin.part", ".a.bin.part.json"]


def test_without_a_length_the_sha256_must_be_known(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"], site.announces_length = CONTENT, False
    refused = fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin")
    assert refused.code == 1
    assert "give its `sha256`" in refused.err
    known = ("--sha256", hashlib.sha256(CONTENT).hexdigest())
    assert fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin", *known).code == 0


def test_a_wrong_sha256_is_refused_and_leaves_nothing(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = CONTENT
    refused = fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin", "--sha256", "0" * 64)
    assert refused.code == 1
    assert f"its sha256 is {hashlib.sha256(CONTENT).hexdigest()}, not {'0' * 64}" in refused.err
    assert names_in(tmp_path) == []
    assert len(site.asked) == 1


def test_rotten_bytes_of_a_resumed_file_are_thrown_away_once(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"], site.misdeeds = CONTENT, [cut(200_000)] + [status(500)] * 4
    fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin")
    part = tmp_path / ".a.bin.part"
    part.write_bytes(b"x" * part.stat().st_size)
    site.misdeeds = []
    known = ("--sha256", hashlib.sha256(CONTENT).hexdigest())
    assert fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin", *known).code == 0
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_killed_in_the_middle_it_goes_on_from_there(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = noise(40_000_000)
    site.seconds_per_chunk = 0.01
    process = started(f"{site.url}/a.bin", tmp_path / "a.bin")
    part = tmp_path / ".a.bin.part"
    while not part.exists() or part.stat().st_size < 15_000_000:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    site.seconds_per_chunk = 0.0
    assert fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin").code == 0
    assert (tmp_path / "a.bin").read_bytes() == site.files["/a.bin"]
    assert site.sent < 2 * len(site.files["/a.bin"])
    assert int(str(site.asked[1][1]).removeprefix("bytes=").rstrip("-")) >= 15_000_000
    assert names_in(tmp_path) == ["a.bin", "a.bin.fetched.json"]


def test_two_fetches_of_one_target_at_once_bring_it_once(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = noise(20_000_000)
    site.seconds_per_chunk = 1.0
    folder = tmp_path / "fetched"
    logs = [tmp_path / "one.log", tmp_path / "other.log"]
    processes = []
    for log in logs:
        with log.open("w") as stderr:
            processes.append(started(f"{site.url}/a.bin", folder / "a.bin", stderr=stderr))
    while not any("waiting" in log.read_text() for log in logs):
        time.sleep(0.01)
        assert [process.poll() for process in processes] == [None, None]
    site.seconds_per_chunk = 0.0
    assert [process.wait(timeout=120) for process in processes] == [0, 0], [log.read_text() for log in logs]
    assert (folder / "a.bin").read_bytes() == site.files["/a.bin"]
    assert len(site.asked) == 1
    assert names_in(folder) == ["a.bin", "a.bin.fetched.json"]


def test_without_locks_every_fetch_goes_alone(
    secondlook: Command, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    site.files["/a.bin"], site.misdeeds = CONTENT, [cut(200_000)]
    assert fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin").code == 0
    assert names_in(tmp_path) == ["a.bin", "a.bin.fetched.json"]


def test_a_full_disk_is_one_sentence_and_keeps_what_came(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = CONTENT
    command = [
        sys.executable,
        "-m",
        "secondlook",
        "fetch",
        "--url",
        f"{site.url}/a.bin",
        "--to",
        str(tmp_path / "a.bin"),
    ]
    full = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )  # fmt: skip
    assert full.returncode == 1
    assert "a.bin: cannot be written (File too large); free some space or choose another `to`" in full.stderr
    assert "Traceback" not in full.stderr
    assert (tmp_path / ".a.bin.part").stat().st_size == 200_000


def test_a_folder_that_cannot_be_is_one_sentence(secondlook: Command, site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused = fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "file" / "a.bin")
    assert refused.code == 1
    assert "file: the folder cannot be written (a file is in its place); choose another `to`" in refused.err
    assert site.asked == []


@pytest.mark.parametrize(("mine", "code"), [(CONTENT, 0), (b"something else", 1)])
def test_a_file_placed_by_hand_is_taken_or_left_but_never_replaced(
    secondlook: Command, site: Site, tmp_path: Path, mine: bytes, code: int
) -> None:
    site.files["/a.bin"] = CONTENT
    (tmp_path / "a.bin").write_bytes(mine)
    done = fetch_url(secondlook, f"{site.url}/a.bin", tmp_path / "a.bin")
    assert done.code == code
    assert (tmp_path / "a.bin").read_bytes() == mine
    assert ("already exists and matches" in done.err) == (code == 0)


def test_several_entries_come_at_once_and_one_failure_stops_no_other(
    secondlook: Command, site: Site, tmp_path: Path
) -> None:
    site.files |= {f"/{number}.bin": noise(1000, number) for number in range(5)}
    sources = {
        f"entry_{number}": {"kind": "http", "url": f"{site.url}/{number}.bin", "to": str(tmp_path / str(number))}
        for number in (0, 1, 9, 2, 3, 4)
    }
    done = fetch(secondlook, sources)
    assert done.code == 1
    assert "5 fetched, 0 already there, 1 failed" in done.err
    assert f"secondlook: entry_9: {site.url}/9.bin: there is no such file" in done.err
    assert all((tmp_path / f"{n}/{n}.bin").read_bytes() == noise(1000, n) for n in range(5))


def test_a_changed_address_brings_the_new_file(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files |= {"/v1/a.bin": b"one", "/v2/a.bin": b"two!"}
    for version, content in (("v1", b"one"), ("v2", b"two!")):
        source = {"kind": "http", "url": f"{site.url}/{version}/a.bin", "to": str(tmp_path)}
        assert fetch(secondlook, {"a": source}).code == 0
        assert (tmp_path / "a.bin").read_bytes() == content


# ---- secrets


def test_a_key_in_an_address_shows_nowhere(
    secondlook: Command, site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    site.files["/a.bin"] = CONTENT
    address = f"{site.url.replace('//', f'//me:{KEY}@')}/a.bin?token={KEY}&part=1"
    done = fetch_url(secondlook, address, tmp_path / "a.bin")
    assert done.code == 0, done.err
    site.misdeeds = [status(404)]
    failed = fetch_url(secondlook, address, tmp_path / "b.bin")
    gone = fetch_url(secondlook, f"http://127.0.0.1:1/a.bin?token={KEY}", tmp_path / "c.bin")
    assert (failed.code, gone.code) == (1, 1)
    assert "no connection to the server" in gone.err
    bad = fetch_url(secondlook, f"http://[{KEY}/a.bin", tmp_path / "d.bin")
    assert bad.code in {1, 2}
    said = "".join(result.out + result.err for result in (done, failed, gone, bad)) + caplog.text
    written = "".join(path.read_text() for path in tmp_path.glob("*.json"))
    assert KEY not in said + written
    assert "token=..." in written


@pytest.mark.parametrize("url", [f"https://me:{KEY}@host/a.zip", f"https://host/a.zip?api_key={KEY}"])
def test_a_config_that_holds_a_key_is_refused_without_it(secondlook: Command, tmp_path: Path, url: str) -> None:
    content = {"fetch": {"sources": {"a": {"kind": "http", "url": url, "to": "data"}}}}
    write_json(tmp_path / "config.yaml", content)
    refused = secondlook("fetch", "a", "--config", tmp_path / "config.yaml")
    assert refused.code == 2
    assert "secrets" in refused.err
    assert KEY not in refused.err


# ---- Roboflow


def roboflow(site: Site, folder: Path, **more: Any) -> dict[str, Any]:
    where = {"workspace": "ai-camp", "project": "signs", "version": 3, "to": str(folder), "api": site.url}
    return {"signs": {"kind": "roboflow", **where, **more}}


def serve_export(site: Site, answers: list[tuple[int, bytes]] | None = None) -> bytes:
    packed = zip_of(**{"train/_annotations.coco.json": b"{}", "train/a.jpg": noise(200_000)})
    link = json.dumps({"export": {"link": f"{site.url}/export.zip?X-Goog-Signature={KEY}"}}).encode()
    waiting = list(answers or [])

    def api(path: str) -> tuple[int, bytes]:
        if f"api_key={KEY}" not in path:
            return 401, f"no such key in {path}".encode()
        return waiting.pop(0) if waiting else (200, link)

    site.files["/export.zip"], site.answers["/ai-camp/signs/3/coco"] = packed, api
    return packed


def test_a_roboflow_version_comes_through_its_link(
    secondlook: Command, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ROBOFLOW_API_KEY", KEY)
    monkeypatch.setattr("secondlook.stages.fetch.roboflow.POLL_S", 0.01)
    packed = serve_export(site, [(202, b'{"progress": 0.5}')] * 9 + [(200, b"{}"), (500, KEY.encode())])
    site.misdeeds = [first(lambda: None)] * 12 + [cut(100_000)]
    done = fetch(secondlook, roboflow(site, tmp_path))
    assert done.code == 0, done.err
    assert (tmp_path / "signs.zip").read_bytes() == packed
    assert site.asked[-1] == (f"/export.zip?X-Goog-Signature={KEY}", "bytes=100000-")
    assert KEY not in done.out + done.err + caplog.text + (tmp_path / "signs.fetched.json").read_text()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, KEY.encode()), "refused the key in ROBOFLOW_API_KEY"),
        ((404, KEY.encode()), "no such version or format; look at https://universe.roboflow.com/ai-camp/signs"),
        ((200, b"<html>" + KEY.encode()), "returned no link"),
        ((301, KEY.encode()), "status 301"),
    ],
)
def test_a_refusal_of_roboflow_holds_no_key(
    secondlook: Command, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, words: str
) -> None:
    monkeypatch.setenv("ROBOFLOW_API_KEY", KEY)
    monkeypatch.setattr("secondlook.stages.fetch.roboflow.POLL_S", 0.01)
    serve_export(site, [answer] * 9)
    refused = fetch(secondlook, roboflow(site, tmp_path))
    assert refused.code == 1
    assert words in refused.err
    assert KEY not in refused.out + refused.err


def test_a_dead_roboflow_shows_no_key(
    secondlook: Command, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ROBOFLOW_API_KEY", KEY)
    failed = fetch(secondlook, roboflow(site, tmp_path, api="http://127.0.0.1:1"))
    assert failed.code == 1
    assert "no connection to the server" in failed.err
    assert KEY not in failed.err + caplog.text


def test_a_missing_key_says_how_to_go_on(
    secondlook: Command, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROBOFLOW_API_KEY", raising=False)
    refused = fetch(secondlook, roboflow(site, tmp_path))
    assert refused.code == 1
    assert "ROBOFLOW_API_KEY is not set" in refused.err
    assert "https://universe.roboflow.com/ai-camp/signs and give its path as `zip:`" in refused.err
    assert site.asked == []


def test_a_zip_that_is_here_needs_no_key(
    secondlook: Command, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROBOFLOW_API_KEY", raising=False)
    (tmp_path / "mine.zip").write_bytes(zip_of(a=b"1"))
    given = {"zip": str(tmp_path / "mine.zip"), "unpack": True}
    assert fetch(secondlook, roboflow(site, tmp_path / "out", **given)).code == 0
    assert (tmp_path / "out/signs/a").read_bytes() == b"1"
    assert fetch(secondlook, roboflow(site, tmp_path / "out", **given)).err.count("1 already there") == 1
    (tmp_path / "mine.zip").unlink()
    missing = fetch(secondlook, roboflow(site, tmp_path / "elsewhere", **given))
    assert missing.code == 1
    assert "mine.zip: there is no such file; correct `zip` of `signs`" in missing.err


# ---- archives


def tar_of(*members: tuple[tarfile.TarInfo, bytes], mode: Any = "w:gz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zip_member(name: str, mode: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, b"/etc/passwd")
    return packed.getvalue()


def zip_twice() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.txt", b"2")
    return packed.getvalue()


def tar_header(kind: bytes, size: int, content: bytes = b"", times: int = 1) -> bytes:
    """A tar.gz that begins with a header which says something of the next one, `size` bytes as it says."""
    info = tar_member("././@LongLink", kind)
    info.size = size
    extension = info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)
    return gzip.compress(times * extension + tar_member("a").tobuf() + bytes(1024))


def pax(**said: str) -> bytes:
    records = [f"{key}={value}\n" for key, value in said.items()]
    return "".join(f"{len(record) + 4:03} {record}" for record in records).encode()


SPARSE = pax(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})
MAP = gzip.compress(
    gzip.decompress(tar_header(tarfile.XHDTYPE, len(SPARSE), SPARSE))[:1536] + b"9999999\n" + b"0\n" * 500_000
)
TOO_LONG = "the archive is refused: a header in it has more than 250.0 kB"
BAD = [
    *(
        (f"{name}.tar.gz", tar_header(kind, 4_000_000_000), TOO_LONG)
        for name, kind in [
            ("longname", tarfile.GNUTYPE_LONGNAME),
            ("longlink", tarfile.GNUTYPE_LONGLINK),
            ("pax", tarfile.XHDTYPE),
            ("pax_of_all", tarfile.XGLTYPE),
        ]
    ),
    ("sparse_map.tar.gz", MAP, TOO_LONG),
    ("header_on_header.tar.gz", tar_header(tarfile.GNUTYPE_LONGNAME, 2, b"a\0", times=2000), "the archive is "),
    ("pax_of_nonsense.tar.gz", tar_header(tarfile.XHDTYPE, len(SPARSE), SPARSE), "the archive is damaged"),
    ("slip.zip", zip_of(**{"ok.txt": b"1", "../../evil.txt": b"x"}), "`../../evil.txt` points outside the folder"),
    ("slip.tar.gz", tar_of((tar_member("a/../../evil"), b"x")), "points outside the folder"),
    ("absolute.zip", zip_of(**{"/tmp/evil.txt": b"x"}), "is an absolute path"),  # noqa: S108
    ("absolute.tar", tar_of((tar_member("/evil"), b"x"), mode="w"), "is an absolute path"),
    ("drive.zip", zip_of(**{"C:/evil.txt": b"x"}), "is an absolute path"),
    ("backslash.zip", zip_of(**{"a\\..\\..\\evil.txt": b"x"}), "is not a plain file name"),
    ("symlink.zip", zip_member("link", stat.S_IFLNK | 0o777), "`link` is a link"),
    ("symlink.tar.gz", tar_of((tar_member("link", tarfile.SYMTYPE, "/etc"), b"")), "`link` is a link"),
    ("hardlink.tar.gz", tar_of((tar_member("link", tarfile.LNKTYPE, "/etc/passwd"), b"")), "is a link"),
    ("device.tar.gz", tar_of((tar_member("null", tarfile.CHRTYPE), b"")), "`null` is a device"),
    ("pipe.tar.gz", tar_of((tar_member("pipe", tarfile.FIFOTYPE), b"")), "`pipe` is a device"),
    ("device.zip", zip_member("null", stat.S_IFCHR), "`null` is a device"),
    ("ratio.zip", zip_of(zeros=bytes(30_000_000)), "(`max_ratio`)"),
    ("ratio.tar.gz", tar_of((tar_member("zeros"), bytes(30_000_000))), "(`max_ratio`)"),
    ("count.zip", zip_of(**{f"{n}": b"" for n in range(101)}), "more than 100 files (`max_files`)"),
    ("total.zip", zip_of(a=noise(1_500_000), b=noise(1_500_000, 1)), "more than 0.002 GB (`max_gb`)"),
    ("twice.zip", zip_twice(), "`a.txt` occurs twice in it"),
    ("file_and_folder.zip", zip_of(**{"a": b"1", "a/b": b"2"}), "occurs twice in it"),
    ("cut.zip", zip_of(a=noise(90_000))[:-40], "damaged"),
    ("cut.tar.gz", tar_of((tar_member("a"), noise(90_000)))[:-4000], "damaged"),
    ("text.zip", b"<html>please log in</html>", "damaged"),
]


@pytest.mark.parametrize(("name", "packed", "words"), BAD, ids=[name for name, *_ in BAD])
def test_a_bad_archive_is_refused_and_leaves_nothing(
    secondlook: Command, site: Site, tmp_path: Path, name: str, packed: bytes, words: str
) -> None:
    site.files[f"/{name}"] = packed
    limits = {"max_files": 100, "max_gb": 0.002} if "ratio" not in name else {}
    to = tmp_path / "in" / "side"
    refused = fetch_url(secondlook, f"{site.url}/{name}", to / name, "--unpack", limits=limits)
    assert refused.code == 1
    assert words in refused.err
    assert str(to / name) in refused.err
    assert names_in(tmp_path) == ["in", "side"]


PAGE = b"\n<!DOCTYPE html>\n<html><body>please log in</body></html>"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("set.zip", PAGE, "a web page"),
        ("a.json", PAGE, "a web page"),
        ("a.pth", b"\xef\xbb\xbf<!-- x --><HTML>", "a web page"),
        ("l.tar", b"<head><meta charset=utf8>", "a web page"),
        ("m.json", b'<meta charset="utf-8"><title>Sign in</title>', "a web page"),
        ("o.jpg", b'<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML">', "a web page"),
        ("n.tar", b"Please log in", "no complete tar file"),
        ("set.zip", b'{"error": "login"}', "no complete zip file"),
        ("set.tar.gz", b'{"error": "login"}', "no complete gz file"),
    ],
)
def test_what_is_not_the_file_is_not_brought(
    secondlook: Command, site: Site, tmp_path: Path, name: str, content: bytes, what: str
) -> None:
    site.files[f"/{name}"] = content
    to = tmp_path / "new" / name

    for _ in range(2):
        refused = fetch_url(secondlook, f"{site.url}/{name}", to)

        assert refused.code == 1
        assert f"it sends {what}, so {to} would be damaged" in refused.err
        assert names_in(to.parent) == []

    to.write_bytes(content)
    assert "differs from" in fetch_url(secondlook, f"{site.url}/{name}", to).err
    assert names_in(to.parent) == [name]


def test_a_web_page_that_is_wanted_comes(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/a.html"] = PAGE
    assert fetch_url(secondlook, f"{site.url}/a.html", tmp_path / "a.html").code == 0
    assert (tmp_path / "a.html").read_bytes() == PAGE


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz", "set.tgz"])
def test_a_good_archive_is_unpacked_without_doubling_its_name(
    secondlook: Command, site: Site, tmp_path: Path, name: str
) -> None:
    content = {"set/a/1.txt": b"1", "set/2.txt": b"2", "__MACOSX/._2.txt": b"x"}
    members = [(tar_member(member), text) for member, text in content.items()]
    packed = zip_of(**content) if name.endswith("zip") else tar_of(*members, mode="w" if name[-1] == "r" else "w:gz")
    site.files[f"/{name}"] = packed
    done = fetch_url(secondlook, f"{site.url}/{name}", tmp_path / name, "--unpack")
    assert done.code == 0, done.err
    assert names_in(tmp_path / "set") == ["1.txt", "2.txt", "a"]
    assert not (tmp_path / "set/2.txt").stat().st_mode & 0o111
    (tmp_path / name).unlink()
    assert "already there" in fetch_url(secondlook, f"{site.url}/{name}", tmp_path / name, "--unpack").err


def test_a_folder_of_ones_own_is_not_replaced(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/set.zip"] = zip_of(a=b"1")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/mine").write_text("work of years")
    refused = fetch_url(secondlook, f"{site.url}/set.zip", tmp_path / "set.zip", "--unpack")
    assert refused.code == 1
    assert "already exists; move it away" in refused.err
    assert names_in(tmp_path / "set") == ["mine"]


def test_a_lost_folder_is_unpacked_again_without_the_network(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/set.zip"] = zip_of(a=b"1")
    fetch_url(secondlook, f"{site.url}/set.zip", tmp_path / "set.zip", "--unpack")
    (tmp_path / "set/a").unlink()
    (tmp_path / "set").rmdir()
    assert fetch_url(secondlook, f"{site.url}/set.zip", tmp_path / "set.zip", "--unpack").code == 0
    assert (tmp_path / "set/a").read_bytes() == b"1"
    assert len(site.asked) == 1


def test_killed_before_the_marker_it_knows_its_own_work(
    secondlook: Command, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: object) -> None:
        raise DataError("killed")

    site.files["/set.zip"] = zip_of(a=b"1")
    with monkeypatch.context() as patched:
        patched.setattr("secondlook.stages.fetch.markers.Markers.finish", killed)
        assert fetch_url(secondlook, f"{site.url}/set.zip", tmp_path / "set.zip", "--unpack").code == 1
    assert names_in(tmp_path) == [".set.zip.fetching.json", "a", "set", "set.zip"]
    assert fetch_url(secondlook, f"{site.url}/set.zip", tmp_path / "set.zip", "--unpack").code == 0
    assert names_in(tmp_path) == ["a", "set", "set.zip", "set.zip.fetched.json"]
    assert len(site.asked) == 1


# ---- S3


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, Any]]:
    """A moto server with a public and a private bucket; yields its address and a client with credentials."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    secret = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": KEY}
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **secret)
    client.create_bucket(Bucket="public", ACL="public-read")
    client.create_bucket(Bucket="private")
    allow = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::public/*"}
    client.put_bucket_policy(Bucket="public", Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    client.put_object(Bucket="public", Key="deep/images.zip", Body=zip_of(a=noise(500_000)), ACL="public-read")
    client.put_object(Bucket="private", Key="a.bin", Body=CONTENT)
    yield address, client
    server.stop()


def bucket(address: str, key: str, to: Path, **more: Any) -> dict[str, Any]:
    return {"entry": {"kind": "s3", "url": f"s3://{key}", "to": str(to), "endpoint_url": address, **more}}


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    nowhere = str(tmp_path_factory.getbasetemp() / "none")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", nowhere)
    monkeypatch.setenv("AWS_CONFIG_FILE", nowhere)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_a_public_bucket_is_read_without_credentials(secondlook: Command, s3: Any, tmp_path: Path) -> None:
    done = fetch(secondlook, bucket(s3[0], "public/deep/images.zip", tmp_path, unpack=True))
    assert done.code == 0, done.err
    assert (tmp_path / "images/a").read_bytes() == noise(500_000)
    marker = json.loads((tmp_path / "entry.fetched.json").read_text())
    assert marker["source"] == "s3://public/deep/images.zip"
    assert (
        marker["files"]["images.zip"]["version"].strip('"')
        == hashlib.md5((tmp_path / "images.zip").read_bytes(), usedforsecurity=False).hexdigest()
    )


def test_an_s3_file_goes_on_where_it_was_cut(
    secondlook: Command, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3[0])
    asked = cut_bodies(monkeypatch, after=100_000, times=2)
    done = fetch(secondlook, bucket("", "public/deep/images.zip", tmp_path, endpoint_url=None))
    assert done.code == 0, done.err
    assert zipfile.ZipFile(tmp_path / "images.zip").read("a") == noise(500_000)
    assert [ranged for ranged in asked if ranged] == ["bytes=65536-", "bytes=131072-"]


def cut_bodies(monkeypatch: pytest.MonkeyPatch, *, after: int, times: int) -> list[str | None]:
    """Break the first bodies off as a lost connection does; return the ranges asked for."""
    from secondlook.stages.fetch import s3 as module

    asked: list[str | None] = []
    make = module.client

    def client(access: Any) -> Any:
        made = make(access)
        get = made.get_object

        def get_object(**wanted: Any) -> Any:
            asked.append(wanted.get("Range"))
            found = get(**wanted)
            if len(asked) <= times:
                read, left = found["Body"].read, [after]

                def broken(count: int) -> Any:
                    left[0] -= count
                    if left[0] < 0:
                        raise botocore.exceptions.ReadTimeoutError(endpoint_url=KEY)
                    return read(count)

                found["Body"].read = broken
            return found

        made.get_object = get_object
        return made

    monkeypatch.setattr(module, "client", client)
    return asked


def test_a_file_uploaded_in_parts_is_checked_by_its_etag(secondlook: Command, s3: Any, tmp_path: Path) -> None:
    address, client = s3
    upload = client.create_multipart_upload(Bucket="public", Key="parts.bin", ACL="public-read")["UploadId"]
    parts = []
    for number, size in ((1, 5 << 20), (2, 5 << 20), (3, 1000)):
        body = noise(size, number)
        sent = client.upload_part(Bucket="public", Key="parts.bin", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"ETag": sent["ETag"], "PartNumber": number})
    client.complete_multipart_upload(
        Bucket="public", Key="parts.bin", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert fetch(secondlook, bucket(address, "public/parts.bin", tmp_path)).code == 0
    from secondlook.stages.fetch.s3 import etag_of

    marker = json.loads((tmp_path / "entry.fetched.json").read_text())
    assert marker["files"]["parts.bin"]["version"].strip('"') == etag_of(tmp_path / "parts.bin", 5 << 20)


def test_bytes_that_disagree_with_the_etag_are_refused(
    secondlook: Command, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondlook.stages.fetch.s3.etag_of", lambda *_: "0" * 32)
    refused = fetch(secondlook, bucket(s3[0], "public/deep/images.zip", tmp_path))
    assert refused.code == 1
    assert f"its MD5 is {'0' * 32}, not that of its ETag" in refused.err
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("key", "more", "words"),
    [
        ("public/absent.zip", {}, "s3://public/absent.zip: "),
        ("nowhere/a.zip", {}, "no such file or bucket"),
        ("private/a.bin", {}, "set `signed: true`"),
        ("private/a.bin", {"signed": True}, "`signed: true` needs credentials; set AWS_PROFILE"),
    ],
)
def test_a_bucket_that_refuses(
    secondlook: Command, s3: Any, tmp_path: Path, key: str, more: dict[str, Any], words: str
) -> None:
    refused = fetch(secondlook, bucket(s3[0], key, tmp_path, **more))
    assert refused.code == 1
    assert words in refused.err
    assert names_in(tmp_path) == []


ANSWERS = [
    ("RequestTimeTooSkewed", 403, "the clock of this machine is wrong"),
    ("InvalidObjectState", 403, "it lies in an archive (Glacier)"),
    ("InvalidAccessKeyId", 403, "your credentials are not accepted"),
    ("SignatureDoesNotMatch", 403, "your credentials are not accepted"),
    ("ExpiredToken", 400, "your credentials are not accepted"),
    ("AuthorizationHeaderMalformed", 400, "set `region: eu-west-1`"),
    ("PermanentRedirect", 301, "the bucket is in another region; set `region: eu-west-1`"),
    ("AccessDenied", 403, "check the rights of these credentials, and `requester_pays: true` where the reader pays"),
    ("AccessDenied", 403, "and `region: eu-west-1`, where it is"),
]


@pytest.mark.parametrize(("code", "answer", "words"), ANSWERS, ids=[f"{code}-{answer}" for code, answer, _ in ANSWERS])
def test_what_s3_refuses_has_a_sentence_of_its_own(
    secondlook: Command, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, answer: int, words: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    said = f"<Error><Code>{code}</Code><Message>no</Message><Region>eu-west-1</Region></Error>"
    site.answers["/public/a.bin"] = lambda _: (answer, said.encode())

    refused = fetch(secondlook, bucket(site.url, "public/a.bin", tmp_path, signed=True))

    assert refused.code == 1
    assert words in refused.err
    assert ("forbids" in refused.err) == (code == "AccessDenied")
    assert names_in(tmp_path) == []


def test_a_file_in_glacier_is_said_to_lie_there(secondlook: Command, s3: Any, tmp_path: Path) -> None:
    address, client = s3
    client.put_object(Bucket="public", Key="cold.bin", Body=b"1", ACL="public-read", StorageClass="GLACIER")

    refused = fetch(secondlook, bucket(address, "public/cold.bin", tmp_path))

    assert refused.code == 1
    assert "it lies in an archive (Glacier); have it restored first" in refused.err


def test_who_pays_says_so_in_every_request(
    secondlook: Command, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    site.files["/public/a.bin"], seen = CONTENT, []
    site.misdeeds = [lambda handler: bool(seen.append(handler.headers["x-amz-request-payer"]))]
    entry = bucket(site.url, "public/a.bin", tmp_path, requester_pays=True)

    unsigned = fetch(secondlook, entry)
    entry["entry"]["signed"] = True
    done = fetch(secondlook, entry)

    assert (unsigned.code, done.code) == (2, 0), done.err
    assert "`requester_pays` needs `signed: true`" in unsigned.err
    assert seen == ["requester"]


@pytest.mark.parametrize("name", ["a#b.zip", "a?b.zip", "a b#c?d.zip", "ä.zip"])
@pytest.mark.parametrize("into", ["an entry", "a folder", "a file"])
def test_a_key_of_s3_is_taken_as_it_stands(
    secondlook: Command, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, into: str
) -> None:
    address, client = s3
    client.put_object(Bucket="public", Key="a", Body=b"another file", ACL="public-read")
    packed = zip_of(a=b"1")
    client.put_object(Bucket="public", Key=f"deep/{name}", Body=packed, ACL="public-read")
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)

    if into == "an entry":
        done = fetch(secondlook, bucket(address, f"public/deep/{name}", tmp_path))
    else:
        target = tmp_path if into == "a folder" else tmp_path / name
        done = fetch_url(secondlook, f"s3://public/deep/{name}", target)

    assert done.code == 0, done.err
    assert (tmp_path / name).read_bytes() == packed


def test_a_private_bucket_is_read_with_credentials_that_show_nowhere(
    secondlook: Command, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    done = fetch(secondlook, bucket(s3[0], "private/a.bin", tmp_path, signed=True))
    assert done.code == 0, done.err
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert KEY not in done.err + (tmp_path / "entry.fetched.json").read_text()


def test_an_s3_server_that_is_busy_is_asked_again(secondlook: Command, site: Site, tmp_path: Path) -> None:
    site.files["/public/a.bin"], site.misdeeds = CONTENT, [status(503), status(500), cut(100_000)]
    site.etags["/public/a.bin"] = '"v1"'
    done = fetch(secondlook, bucket(site.url, "public/a.bin", tmp_path))
    assert done.code == 0, done.err
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert [ranged for _, ranged in site.asked] == [None, None, None, "bytes=100000-"]


# ---- Objects365

IMAGES = {  # image id: file name, class ids
    1: ("patch0/v1_1.jpg", [6]),
    2: ("patch0/v1_2.jpg", [1]),
    3: ("patch1/v1_3.jpg", [1, 9]),
    4: ("patch7/v1_4.jpg", [22, 1]),
    5: ("patch7/v1_5.jpg", [6, 22]),
}


def objects365(folder: Path) -> dict[str, bytes]:
    """Return the files of a small Objects365, by their paths; patch 1 holds nothing that anyone wants."""
    names = {1: "Person", 6: "Car", 9: "Chair", 22: "Boat"}
    document = {
        "info": {"note": 'a trap: [{"id": 1}, {"id": 2}]'},
        "annotations": [
            {"id": 10 * image + number, "image_id": image, "category_id": kind, "bbox": [0, 0, 1, 1], "iscrowd": 0,
             "parts": [{"x": 1}, {"x": 2}], "note": "}, {"}
            for image, (_, kinds) in IMAGES.items() for number, kind in enumerate(kinds)
        ],
        "images": [{"id": image, "file_name": name, "height": 9} for image, (name, _) in IMAGES.items()],
        "categories": [{"id": number, "name": name} for number, name in names.items()],
    }  # fmt: skip
    found = {"anno/train.json": json.dumps(document, indent=1).encode()}
    for patch in ("patch0", "patch1", "patch7"):
        inside = [name for name, _ in IMAGES.values() if name.startswith(patch)]
        found[f"{patch}.tar.gz"] = tar_of(*[(tar_member(f"./{name}"), noise(5000, len(name))) for name in inside])
    for name, content in found.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return found


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondlook.stages.fetch.objects365.PIECE_BYTES", 50)


@pytest.mark.parametrize("where", ["http", "folder"])
@pytest.mark.usefixtures("small_pieces")
def test_only_wanted_patches_and_images_of_objects365_come(
    secondlook: Command, site: Site, tmp_path: Path, where: str
) -> None:
    found = objects365(tmp_path / "mirror")
    site.files |= {f"/o365/{name}": content for name, content in found.items()}
    site.misdeeds = [cut(100), first(lambda: None), status(503)]
    place = {
        "kind": "objects365", "base": f"{site.url}/o365" if where == "http" else str(tmp_path / "mirror"),
        "annotations": "anno/train.json", "classes": ["car", "boat"], "to": str(tmp_path / "out"),
    }  # fmt: skip
    done = fetch(secondlook, {"o365": place})
    assert done.code == 0, done.err
    assert names_in(tmp_path / "out") == [
        "annotations.json", "o365.fetched.json", "patch0", "patch7", "v1_1.jpg", "v1_4.jpg", "v1_5.jpg"
    ]  # fmt: skip
    assert "3 wanted images in 2 patches" in done.err
    assert {path for path, _ in site.asked} == (
        {f"/o365/{name}" for name in found} - {"/o365/patch1.tar.gz"} if where == "http" else set()
    )
    assert (tmp_path / "mirror/patch0.tar.gz").is_file()
    before = len(site.asked)
    assert "already there" in fetch(secondlook, {"o365": place}).err
    assert len(site.asked) == before


def test_a_patch_that_fails_leaves_the_finished_ones(secondlook: Command, site: Site, tmp_path: Path) -> None:
    found = objects365(tmp_path / "mirror")
    site.files |= {f"/{name}": content for name, content in found.items() if name != "patch7.tar.gz"}
    place = {"kind": "objects365", "base": site.url, "annotations": "anno/train.json", "classes": ["car"]}
    sources = {"o365": {**place, "to": str(tmp_path / "out")}}
    failed = fetch(secondlook, sources)
    assert failed.code == 1
    assert "patch7.tar.gz: there is no such file" in failed.err
    site.files["/patch7.tar.gz"] = found["patch7.tar.gz"]
    before = len(site.asked)
    assert fetch(secondlook, sources).code == 0
    assert [path for path, _ in site.asked[before:]] == ["/patch7.tar.gz"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ["car", "bote"]}, "has no class `bote` (`classes`); did you mean `boat`?"),
        ({"annotations": "patch0.tar.gz"}, "is not a COCO file"),
        ({"annotations": "absent.json"}, "absent.json: there is no such file; correct `base`"),
        ({"patches": "p{number}.tar"}, "there is no such file; correct `base`, `annotations` or `patches`"),
        ({"patches": "p{x}{number}.tar"}, "there is no such file; correct `base`, `annotations` or `patches`"),
    ],
)
def test_a_wrong_objects365_entry_says_what_to_correct(
    secondlook: Command, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    objects365(tmp_path / "mirror")
    place = {"kind": "objects365", "base": str(tmp_path / "mirror"), "annotations": "anno/train.json"}
    refused = fetch(secondlook, {"o365": {**place, "classes": ["car"], "to": str(tmp_path / "out"), **change}})
    assert refused.code == 1
    assert words in refused.err


def test_an_entry_without_its_keys_is_said_at_once(secondlook: Command, tmp_path: Path) -> None:
    images = [{"id": number} for number in range(20_000)]
    document = {"images": images, "annotations": [{"image_id": 1, "category_id": 1}], "categories": []}
    write_json(tmp_path / "train.json", {**document, "categories": [{"id": 1, "name": "car"}]})
    place = {"kind": "objects365", "base": str(tmp_path), "annotations": "train.json", "classes": ["car"]}
    refused = fetch(secondlook, {"o365": {**place, "to": str(tmp_path / "out")}})
    assert refused.code == 1
    assert "annotations.json: is not a COCO file (Object missing required field `file_name`" in refused.err


def test_an_image_that_leads_out_of_the_folder_is_refused(secondlook: Command, tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "file_name": "patch0/../../../evil/patch1/a.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 1}],
        "categories": [{"id": 1, "name": "car"}],
    }
    write_json(tmp_path / "mirror/train.json", document)
    place = {"kind": "objects365", "base": str(tmp_path / "mirror"), "annotations": "train.json", "classes": ["car"]}
    refused = fetch(secondlook, {"o365": {**place, "to": str(tmp_path / "out")}})
    assert refused.code == 1
    assert "points outside the folder" in refused.err
    assert names_in(tmp_path / "out") == [".o365.fetching.json", "annotations.json"]


# ---- config, tasks, workflow


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"kind": "ftp", "to": "x"}, "`fetch.sources.a.kind`: must be one of"),
        ({"kind": "s3", "url": "https://x/y", "to": "x"}, "must begin with `s3://`"),
        ({"kind": "http", "url": "https://host/", "to": "x"}, "must name a host or bucket and a file"),
        ({"kind": "http", "url": "https://host/..", "to": "x"}, "must name a host or bucket and a file"),
        ({"kind": "http", "url": "https://host/a", "to": "x", "sha256": "abc"}, "`fetch.sources.a.sha256`"),
        ({"kind": "http", "url": "https://host/a", "to": "x", "unpak": True}, "did you mean `unpack`?"),
        ({"kind": "roboflow", "workspace": "a", "project": "b", "to": "x"}, "version` is missing"),
        ({"kind": "roboflow", "workspace": "a/b", "project": "b", "version": 1, "to": "x"}, "workspace"),
    ],
)
def test_a_bad_entry_is_named(secondlook: Command, tmp_path: Path, source: dict[str, Any], words: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"fetch": {"sources": {"a": source}}}))
    refused = secondlook("fetch", "a", "--config", config)
    assert refused.code == 2
    assert words in refused.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name at least one of the entries under `fetch.sources` (listed: mapillary_signs_images"),
        (["absent"], "`absent` is not listed under `fetch.sources`"),
        (["--url", "https://x/y"], "--url goes with --to PATH"),
        (["--to", "x"], "--to, --sha256 and --unpack go with --url"),
        (["--url", "ftp://x/y", "--to", "x"], "must begin with https://"),
        (["--url", "https://x/y", "--to", "x", "--sha256", "abc"], "sha256"),
    ],
)
def test_bad_usage_is_said(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(ROOT)
    refused = secondlook("fetch", *arguments)
    assert refused.code == 2
    assert words in refused.err


@pytest.fixture
def project(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config with two entries and a task that needs them."""
    monkeypatch.chdir(tmp_path)
    site.files |= {"/labels.json": b"{}", "/images.zip": zip_of(**{"images/1.jpg": b"1"})}
    sources = {
        "images": {"kind": "http", "url": f"{site.url}/images.zip", "to": "data/signs", "unpack": True},
        "labels": {"kind": "http", "url": f"{site.url}/labels.json", "to": "data/signs"},
    }
    labelers = {"vote": {"kind": "prototype", "encoder": "small"}}
    encoders = {"small": {"kind": "timm", "model": "test_resnet"}}
    content = {"tasks": ["signs.yaml"], "labelers": labelers, "encoders": encoders}
    write_json(tmp_path / "config.yaml", {**content, "fetch": {**FAST, "sources": sources}})
    dataset = {"path": "data/signs/labels.json", "images": "data/signs/images"}
    task = {"fetch": ["images", "labels"], "dataset": dataset, "classes": ["stop", "yield"], "labelers": ["vote"]}
    write_json(tmp_path / "signs.yaml", task)
    return tmp_path


MARKERS = ["data/signs/images.fetched.json", "data/signs/labels.fetched.json"]


def ingest_inputs() -> list[str]:
    from secondlook.base import yamlfile
    from secondlook.workflow.run import Run

    content, _ = yamlfile.load(Path("config.yaml"))
    run = Run.of(content)
    return run.data.inputs("signs", run.data.annotation_files("signs"))


@pytest.mark.usefixtures("project")
def test_check_says_what_will_bring_the_data(secondlook: Command) -> None:
    said = secondlook("check").out
    assert "missing: data/signs/labels.json; `secondlook fetch labels` downloads it" in said
    assert "missing: data/signs/images; `secondlook fetch images` downloads it" in said
    assert secondlook("fetch", "images", "labels").code == 0
    said = secondlook("check").out
    assert "missing" not in said
    assert "secondlook fetch" not in said


@pytest.mark.usefixtures("project")
def test_ingest_waits_for_the_same_files_before_and_after_the_fetch(secondlook: Command) -> None:
    assert ingest_inputs() == MARKERS
    secondlook("fetch", "images", "labels")
    assert ingest_inputs() == MARKERS


def test_data_placed_by_hand_is_taken_as_it_is(project: Path) -> None:
    write_json(project / "data/signs/labels.json", {})
    assert ingest_inputs() == [MARKERS[0], "data/signs/labels.json"]
    (project / "data/signs/images").mkdir()
    assert ingest_inputs() == ["data/signs/labels.json"]


def test_a_task_that_names_no_entry_is_refused(secondlook: Command, project: Path) -> None:
    task = json.loads((project / "signs.yaml").read_text())
    write_json(project / "signs.yaml", {**task, "fetch": ["image"]})
    refused = secondlook("check")
    assert refused.code == 2
    assert "signs.yaml: `fetch`: `image` is not under `fetch.sources` (entries: images, labels)" in refused.err


@pytest.mark.slow
def test_snakemake_fetches_once_and_plans_without_asking(project: Path, site: Site) -> None:
    for name in ("Snakefile", "rules"):
        (project / name).symlink_to(ROOT / name)
    (project / "envs").symlink_to(ROOT / "envs")
    program = project / "bin" / "secondlook"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m secondlook "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}

    def snakemake(*arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", "--quiet", "host", *arguments]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "\nfetch " in snakemake("-n")
    assert site.asked == []
    snakemake("--cores", "1", MARKERS[1])
    assert len(site.asked) == 1
    content = json.loads((project / "config.yaml").read_text())
    content["fetch"]["attempts"] = 9
    write_json(project / "config.yaml", content)
    assert "fetch: download labels" in snakemake("--cores", "1", MARKERS[1])
    assert len(site.asked) == 1


def test_a_terminal_sees_a_bar_and_a_log_plain_lines(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"], site.seconds_per_chunk = noise(4_000_000), 0.03
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = started(f"{site.url}/a.bin", tmp_path / "a.bin", stderr=theirs)
    process.wait(timeout=120)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    os.close(theirs)
    assert "%|" in shown
    assert "/4.00M [" in shown
    assert "fetch: 1 fetched" in shown
    logged = started(f"{site.url}/a.bin", tmp_path / "b.bin").communicate(timeout=120)[1]
    assert logged.splitlines()[0] == f"fetch: b.bin is in {tmp_path}/b.bin (4.0 MB)"
    assert "\r" not in logged


def test_control_c_ends_at_once_and_keeps_what_came(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"], site.seconds_per_chunk = noise(20_000_000), 0.05
    process = started(f"{site.url}/a.bin", tmp_path / "a.bin")
    part = tmp_path / ".a.bin.part"
    while not part.exists() or part.stat().st_size < 1_000_000:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode != 0
    assert "Traceback" not in said
    assert 1_000_000 <= part.stat().st_size < 20_000_000, "it stopped before the file was whole"
