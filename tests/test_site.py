"""The documentation site builds without a warning, loads nothing from elsewhere, and every link of it holds."""

import base64
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from playwright.sync_api import Page

from conftest import ROOT

pytest_plugins = ["browsing"]

SOURCES = (
    *("Makefile", "docs", "mkdocs.yml", "pyproject.toml"),
    *("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md"),
)
TUTORIAL = """# %% [markdown]
# # A small tutorial
# The words are in [Words](../words.md).

# %%
total = sum(range(4))
print(total)
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'
STYLE = "<style scoped>\n    .dataframe td {color: red}\n</style>"
ROW = f"<tr>{'<td>cell</td>' * 60}</tr>"
TABLE = f"<div>{STYLE}\n<table border='1' class='dataframe'>{ROW}</table></div>"
OUTPUTS = [
    {"output_type": "stream", "name": "stdout", "text": "\x1b[32mdrawn\x1b[0m <b>\n"},
    {"output_type": "stream", "name": "stderr", "text": "half done\n"},
    {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {
        "text/html": TABLE, "text/plain": "no table",
    }},
    {"output_type": "display_data", "metadata": {}, "data": {"image/svg+xml": SVG, "text/plain": "no figure"}},
    {"output_type": "display_data", "metadata": {}, "data": {"image/png": base64.b64encode(b"PNG").decode()}},
]  # fmt: skip


def write_run(folder: Path, name: str, text: str) -> None:
    """Write a tutorial and the notebook that a run of it left, with the same outputs for all."""
    (folder / f"docs/tutorials/{name}.py").write_text(text, encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.cells[-1].outputs = [nbformat.from_dict(output) for output in OUTPUTS]
    notebook.metadata["secondlook"] = {"version": "Second Look 9.9.9", "day": "2026-11-30"}
    (folder / ".tutorials").mkdir(exist_ok=True)
    nbformat.write(notebook, folder / f".tutorials/{name}.ipynb")


def module(name: str) -> Any:
    """Return a script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded  # dataclasses look there
    spec.loader.exec_module(loaded)
    return loaded


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `make site` in a checkout with the Python of this test, without set-up and without a network."""
    command = ["make", "--no-print-directory", "--old-file=.venv/.ready-dev", "VENV=.venv", "site"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    variables = {**os.environ, **nowhere, "PATH": path, "MAKEFLAGS": ""}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def append(page: Path, text: str) -> None:
    """Write a text below a page, which may be new."""
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    page.write_text(before + text, encoding="utf-8")


def checked(site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "docs/check_site.py", site], capture_output=True, text=True)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the site is made of, with a tutorial more."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    (folder / "src").symlink_to(ROOT / "src")
    (folder / "docs/tutorials").mkdir(exist_ok=True)
    write_run(folder, "one_that_ran", TUTORIAL)
    write_run(folder, "a_small_one", TUTORIAL)
    append(folder / "docs/tutorials/a_small_one.py", "print(2 * total)\n")  # after the run
    return folder


@pytest.fixture(scope="module")
def site(copied: Path) -> Path:
    """The site of these files."""
    run = build(copied)
    assert run.returncode == 0, run.stderr
    assert len(run.stderr.splitlines()) < 10
    assert [line for line in run.stderr.splitlines() if not line.startswith("INFO ")] == []
    assert "all of them hold" in run.stdout  # of docs/check_site.py
    return copied / "site"


@pytest.fixture
def changed(copied: Path, tmp_path: Path) -> Path:
    """A copy of these files for a test that changes them."""
    return Path(shutil.copytree(copied, tmp_path / "changed", symlinks=True, ignore=shutil.ignore_patterns("site")))


def test_every_link_of_the_site_holds_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    run = checked(site)
    assert run.returncode == 0, run.stderr
    assert "all of them hold" in run.stdout


def test_a_tutorial_that_changed_since_it_ran_is_a_page_without_outputs(site: Path) -> None:
    page = (site / "tutorials/a_small_one.html").read_text(encoding="utf-8")
    assert "<h1" in page
    assert "A small tutorial" in page
    assert ">total" in page.replace("<span></span>", "")
    assert 'href="../words.html"' in page
    assert page.index("<h1") < page.index("The outputs are not on this page") < page.index("The words are in")
    assert "<code>docs/tutorials/a_small_one.py</code>" in page
    assert "tutorials/a_small_one.html" in (site / "index.html").read_text(encoding="utf-8")


def test_a_tutorial_that_ran_shows_its_tables_and_figures(site: Path) -> None:
    page = (site / "tutorials/one_that_ran.html").read_text(encoding="utf-8")
    assert page.index("<h1") < page.index("Second Look 9.9.9, run on 2026-11-30 by") < page.index("The words are in")
    assert "The outputs are not on this page" not in page
    body = page[page.index("The words are in") :]
    assert 'href="../words.html"' in page
    shown = [
        "drawn &lt;b&gt;\nhalf done\n</code>",
        "<table>",
        "<td>cell</td>",
        'src="one_that_ran_1.svg"',
        'src="one_that_ran_2.png"',
    ]
    assert [body.index(text) for text in shown] == sorted(body.index(text) for text in shown)
    assert not [text for text in ("\x1b", "dataframe", "no table", "no figure") if text in page]
    assert (site / "tutorials/one_that_ran_1.svg").read_text(encoding="utf-8") == SVG
    assert (site / "tutorials/one_that_ran_2.png").read_bytes() == b"PNG"


def test_reference_pages_hold_what_the_code_says(site: Path) -> None:
    page = (site / "python_reference.html").read_text(encoding="utf-8")
    for name in ("read", "consensus", "evaluate", "label_errors", "guarantee", "open"):
        assert f'id="secondlook.{name}"' in page
    assert 'id="instance"' in (site / "records.html").read_text(encoding="utf-8")
    assert 'id="unreleased"' in (site / "changelog.html").read_text(encoding="utf-8")


def test_the_search_works_from_a_folder_and_asks_nobody(site: Path, unhurried: Page) -> None:
    unhurried.goto((site / "index.html").as_uri())
    unhurried.click(".md-search__input")
    unhurried.keyboard.type("guarantee")
    unhurried.wait_for_selector(".md-search-result__link")
    links = [link.get_attribute("href") or "" for link in unhurried.locator(".md-search-result__link").all()]
    assert any("consensus.html" in link for link in links)


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1280])
def test_no_page_is_wider_than_its_window(site: Path, unhurried: Page, width: int) -> None:
    unhurried.set_viewport_size({"width": width, "height": 800})
    wide = []
    for path in sorted(site.rglob("*.html")):
        if path.name != "404.html":  # its addresses are those of a server
            unhurried.goto(path.as_uri())
            over = unhurried.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            wide += [path.name] if over > 0 else []
    assert wide == []


@pytest.mark.slow
def test_a_public_repository_is_linked_and_asked_nothing(changed: Path) -> None:
    project = changed / "pyproject.toml"
    project.write_text(project.read_text(encoding="utf-8").replace("/OWNER/", "/example/"), encoding="utf-8")
    run = build(changed)
    assert run.returncode == 0, run.stderr
    page = (changed / "site/own_dataset.html").read_text(encoding="utf-8")
    assert 'href="https://github.com/example/secondlook/blob/main/README.md"' in page
    assert 'href="https://github.com/example/secondlook"' in page
    assert 'data-md-component="source"' not in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "text", "said"),
    [
        ("words.md", "\n[a](nowhere.md)\n", ["nowhere.md"]),
        (
            "tour.md",
            "\n[a](words.md#nowhere_either) [b](../bench/nowhere.py) [c](tutorials/nowhere.py)\n",
            ["words.md#nowhere_either", "../bench/nowhere.py", "tutorials/nowhere.md"],
        ),
        ("orphan.md", "# A page outside of the navigation\n", ["orphan.md"]),
    ],
)
def test_a_dead_link_or_an_orphan_ends_make_site(changed: Path, page: str, text: str, said: list[str]) -> None:
    append(changed / "docs" / page, text)
    run = build(changed)
    assert run.returncode != 0
    warnings = [line for line in run.stderr.splitlines() if line.startswith(("WARNING", "  - "))]
    assert [name for name in said if not any(name in line for line in warnings)] == []


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ("<a href='b.html#here'>", None),
        ("<a href='b.html#there'>", "no such anchor"),
        ("<a href='c.html'>", "no such page"),
        ("<a href='#below'><p id='below'>", None),
        ("<a href='/b.html'>", None),
        ("<a href='https://example.org/a_b.html?x=1#y'>", None),
        ("<a href='https://example'>", "no web address"),
        ("<a href='htps://example.org'>", "no web address"),
        ("<a href='https://exa mple.org'>", "no web address"),
        ("<a href='mailto:nobody'>", "no mail address"),
        ("<script src='https://cdn.example.org/x.js'></script>", "outside the site"),
        ("<link rel='stylesheet' href='//fonts.example.org/x.css'>", "outside the site"),
        ("<link rel='canonical' href='https://example.org/'>", None),
        ("<img src='missing.png'>", "no such file"),
        ("<img src='data:image/png;base64,AA=='>", None),
    ],
)
def test_faults_of_a_page(tmp_path: Path, html: str, fault: str | None) -> None:
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    (tmp_path / "b.html").write_text("<h2 id='here'>Here</h2>", encoding="utf-8")
    run = checked(tmp_path)
    assert (run.returncode, fault is None or fault in run.stderr) == (0 if fault is None else 1, True), run.stderr


def test_a_style_that_loads_from_elsewhere_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("", encoding="utf-8")
    (tmp_path / "a.css").write_text("@import 'https://fonts.example.org/a.css'; p { background: url(b.png) }", "utf-8")
    run = checked(tmp_path)
    assert "a.css loads https://fonts.example.org/a.css: it lies outside the site" in run.stderr
    assert "a.css loads b.png: there is no such file" in run.stderr


@pytest.mark.parametrize(
    ("address", "link", "shown"),
    [
        (None, "[the bench](../bench/merge.py)", "the bench"),
        (
            "https://example.org/x",
            "[the bench](../bench/merge.py)",
            "[the bench](https://example.org/x/blob/main/bench/merge.py)",
        ),
        (None, "[words](words.md#words)", "[words](words.md#words)"),
        (None, "[start](tutorials/relabel_a_dataset.py)", "[start](tutorials/relabel_a_dataset.md)"),
        (None, "[the changes](../CHANGELOG.md)", "[the changes](changelog.md)"),
        (None, "see docs/overlays.md.", "see [overlays](overlays.md)."),
        (None, "`docs/overlays.md`", "`docs/overlays.md`"),
        (None, "```\n[a](../bench/merge.py)\n```", "```\n[a](../bench/merge.py)\n```"),
    ],
)
def test_links_of_the_docs_hold_on_the_site(
    monkeypatch: pytest.MonkeyPatch, address: str | None, link: str, shown: str
) -> None:
    hooks = module("hooks")
    monkeypatch.setattr(hooks, "repository", lambda: address)
    file = type("File", (), {"src_uri": "own.md"})()
    page = type("Page", (), {"file": file, "meta": {}})()
    assert hooks.on_page_markdown(link, page) == shown


def test_figures_are_what_their_script_draws() -> None:
    figures = module("figures")
    for name, draw in figures.FIGURES.items():
        assert (ROOT / f"docs/figures/{name}.svg").read_text(encoding="utf-8") == draw().svg()
