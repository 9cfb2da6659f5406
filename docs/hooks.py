"""What `make site` adds to the pages of docs/: files from outside of it, tutorials, and links that hold on the site.

In docs/, links are written as GitHub needs them. A link to a file of the repository becomes its address there. Its base
is `Source` under `[project.urls]` of pyproject.toml; as long as that is missing, such links become plain text.
"""

import base64
import logging
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FROM_ROOT = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}  # pages made of files above docs/
DATED = ("log.md", "changelog.md")  # found by every search, and seldom what one looks for
FIRST_TUTORIAL = "relabel_a_dataset"
PLACEHOLDER = "OWNER"  # stands in the address of a project that has no public home yet
RUN = ROOT / ".tutorials"  # notebooks with what they showed; `make tutorials` writes them
SHOWN_AS = {"image/svg+xml": "svg", "image/png": "png"}  # the kinds of figures, and the endings of their files
TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and the like
WAS_RUN = """
!!! note
    The outputs are those of {version}, run on {day} by `make tutorials`. To change something, open
    `docs/tutorials/{name}` in Jupyter with jupytext.
"""
NOT_RUN = """
!!! note
    The outputs are not on this page: they appear when you run `make tutorials`, or open
    `docs/tutorials/{name}` in Jupyter with jupytext.
"""
INCLUDED = re.compile(r"<!-- section of README\.md: (.+?) -->")
CODE = r"^```.*?^```|^ +```.*?^ +```|`[^`\n]+`"
LINK = re.compile(
    rf"(?P<code>{CODE})|(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)", re.MULTILINE | re.DOTALL
)
MENTION = re.compile(
    rf"(?P<other>{CODE}|\[[^\]]*\]\([^)]*\)|\w[\w/.]*/docs/)|docs/(?P<page>\w+)\.md(?P<anchor>#[\w-]+)?",
    re.MULTILINE | re.DOTALL,
)


def on_config(config: MkDocsConfig) -> None:
    """Link to the repository where it is public, and list the tutorials in the navigation."""
    if address := repository():  # in the footer: the theme's own link in the header asks GitHub for stars
        config.extra["social"] = [{"icon": "fontawesome/brands/git-alt", "link": address, "name": "Repository"}]
    tutorials = [f"tutorials/{path.stem}.md" for path in tutorial_files()]
    entries: list[Any] = config.nav or []
    config.nav = [({"Tutorials": tutorials} if "Tutorials" in entry else entry) for entry in entries]
    config.nav = [entry for entry in config.nav if entry != {"Tutorials": []}]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages whose text is not in a Markdown file of docs/."""
    for page, source in FROM_ROOT.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=re.sub(r"\]\(docs/", "](", text)))
    for path in tutorial_files():
        text, figures = tutorial(path)
        files.append(File.generated(config, f"tutorials/{path.stem}.md", content=text))
        for name, content in figures.items():
            files.append(File.generated(config, f"tutorials/{name}", content=content))


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in sections of README.md, and make every link hold on the site."""
    if page.file.src_uri in DATED:
        page.meta["search"] = {"boost": 0.2}
    folder = DOCS / Path(page.file.src_uri).parent
    base = ROOT if page.file.src_uri in FROM_ROOT else folder
    text = INCLUDED.sub(lambda match: section(match[1], folder), markdown)
    text = LINK.sub(lambda match: _linked(match, base, folder), text)
    return MENTION.sub(lambda match: _mentioned(match, folder), text)


def repository() -> str | None:
    """Return the address of the public repository; None while there is none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = project.get("urls", {}).get("Source")
    return None if address is None or PLACEHOLDER in address else str(address).rstrip("/")


def section(title: str, folder: Path) -> str:
    """Return what stands below a heading of README.md, with links as a page in `folder` needs them."""
    parts = re.split(r"^## (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = dict(zip(parts[1::2], parts[2::2], strict=True))[title].strip()
    up = os.path.relpath(ROOT, folder)
    return re.sub(r"\]\((?!\w+:|#)", f"]({up}/", text)


def tutorial_files() -> list[Path]:
    """Return the tutorials, the one for beginners first."""
    return sorted((DOCS / "tutorials").glob("*.py"), key=lambda path: (path.stem != FIRST_TUTORIAL, path.stem))


def tutorial(path: Path) -> tuple[str, dict[str, str | bytes]]:
    """Return a tutorial in the percent format as Markdown, and the figures in it by the names of their files.

    Nothing is run here. Outputs are those of the last `make tutorials`, if there are any; the second paragraph says so.
    """
    import jupytext

    figures: dict[str, str | bytes] = {}
    if notebook := last_run(path):
        about, note = notebook.metadata["secondlook"], WAS_RUN
        text = "\n\n".join(_cell(cell, path.stem, figures) for cell in notebook.cells)
    else:
        about, note = {}, NOT_RUN
        text = str(jupytext.writes(jupytext.read(path), fmt="markdown"))
    title = re.compile(r"^# .+\n", re.MULTILINE)
    return title.sub(lambda found: found[0] + note.format(name=path.name, **about), text, count=1), figures


def last_run(path: Path) -> Any:
    """Return the notebook that the last run of a tutorial left; None where there is none, or the text has changed."""
    import jupytext
    import nbformat

    written = RUN / f"{path.stem}.ipynb"
    if not written.is_file():
        return None
    notebook = nbformat.read(written, as_version=4)
    was, now = ([(cell.cell_type, cell.source) for cell in one.cells] for one in (notebook, jupytext.read(path)))
    if was == now:
        return notebook
    logging.getLogger("mkdocs.hooks").info(f"{path.name} has changed since it was run, so its page has no outputs")
    return None


def _cell(cell: Any, stem: str, figures: dict[str, str | bytes]) -> str:
    """Return a cell with what it showed as Markdown; figures are added to `figures`."""
    if cell.cell_type != "code":
        return str(cell.source)
    outputs: list[Any] = []
    for output in cell.outputs:  # lines of progress come one by one
        if output.output_type == "stream" and outputs and outputs[-1]["output_type"] == "stream":
            outputs[-1] = {**outputs[-1], "text": outputs[-1]["text"] + output.text}
        else:
            outputs.append(output)
    shown = (_output(output, stem, figures) for output in outputs)
    return "\n\n".join([f"```python\n{cell.source}\n```", *filter(None, shown)])


def _output(output: Mapping[str, Any], stem: str, figures: dict[str, str | bytes]) -> str:
    """Return one output as Markdown: a table as HTML, a figure as a file, text as text."""
    data = output.get("data", {})
    if html := data.get("text/html"):
        html = re.sub(r"<style.*?</style>\s*", "", html, flags=re.DOTALL)
        return f"<div>\n{re.sub('<table[^>]*>', '<table>', html)}\n</div>"
    for kind, ending in SHOWN_AS.items():
        if kind in data:
            name = f"{stem}_{len(figures) + 1}.{ending}"
            figures[name] = data[kind] if ending == "svg" else base64.b64decode(data[kind])
            return f'<p><img src="{name}" alt="the figure that this cell draws"></p>'
    text = TERMINAL.sub("", output.get("text") or data.get("text/plain", "")).strip("\n")
    return f"````text\n{text}\n````" if text else ""


def _linked(match: re.Match[str], base: Path, folder: Path) -> str:
    """Return a link that holds on the site: to a page, to a file of the public repository, or its text alone."""
    target = match["target"] or ""
    if match["code"] or re.match(r"\w+:|#", target):
        return match[0]
    path, _, anchor = target.partition("#")
    file = Path(os.path.normpath(base / path))
    if file.parent == DOCS / "tutorials":
        file = file.with_suffix(".md")
    if file.is_relative_to(DOCS) and file.suffix != ".py":
        return f"{match['image']}[{match['text']}]({os.path.relpath(file, folder)}{'#' * bool(anchor)}{anchor})"
    if not file.exists() or not file.is_relative_to(ROOT):
        return match[0]  # a dead link, of which MkDocs warns
    for page, source in FROM_ROOT.items():
        if file == ROOT / source:
            return f"[{match['text']}]({os.path.relpath(DOCS / page, folder)})"
    address = repository()
    return f"[{match['text']}]({address}/blob/main/{file.relative_to(ROOT).as_posix()})" if address else match["text"]


def _mentioned(match: re.Match[str], folder: Path) -> str:
    """Return a link for a page that a text from the code names, as in `(docs/overlays.md)`."""
    if match["other"]:
        return match[0]
    target = os.path.relpath(DOCS / f"{match['page']}.md", folder)
    return f"[{match['page'].replace('_', ' ')}]({target}{match['anchor'] or ''})"
