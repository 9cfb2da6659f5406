"""Small datasets made after public bug reports: each is read as its sentence says, or refused."""

import importlib.util
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from checkouts import ROOT
from secondlook.cli import main

PACK = ROOT.parent / "shared" / "cases" / "formats"


def _checker() -> ModuleType:
    """Return the pack's own checker."""
    spec = importlib.util.spec_from_file_location("format_check", PACK / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _call(_: object, arguments: list[str], folder: Path) -> tuple[int, str, str]:
    """Run the command line in this process, in `folder`."""
    out, err, here, code = io.StringIO(), io.StringIO(), Path.cwd(), 0
    os.chdir(folder)
    sys.argv = ["secondlook", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    finally:
        os.chdir(here)
    return code, out.getvalue(), err.getvalue()


@pytest.mark.real
@pytest.mark.slow
def test_every_case_of_the_pack_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (PACK / "cases.json").is_file():
        pytest.skip(f"the pack of small datasets is not here ({PACK})")
    checker: Any = _checker()
    call: Callable[..., Any] = _call
    monkeypatch.setattr(checker, "call", call)
    monkeypatch.setattr(sys, "argv", [])
    wrong = []
    for case in json.loads((PACK / "cases.json").read_text("utf-8")):
        temp = tmp_path / case["slug"]
        temp.mkdir()
        got = checker.Result(case, PACK / "cases" / case["slug"], [], temp)
        if checker.wrong(case["expect"], got) is not None:
            wrong.append(f"{case['slug']}: {case['right']} Got {got.short()}")
        shutil.rmtree(temp)
    assert not wrong, "\n".join(wrong)
