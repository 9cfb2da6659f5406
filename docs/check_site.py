"""Checks the site that `make site` built, offline: `python docs/check_site.py [FOLDER]`.

Every link leads to a file of the site and to an anchor in it; addresses elsewhere are well-formed; nothing that a page
loads (scripts, styles, images, frames) lies outside the site. Also the links of README.md and CONTRIBUTING.md.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
HOST = re.compile(r"(localhost|[\w-]+(\.[\w-]+)+|\d+(\.\d+){3})(:\d+)?")
CSS_URL = re.compile(r"url\(\s*['\"]?(?!data:|#)([^'\")]+)|@import\s+['\"]([^'\"]+)")
NO_FILES = {"canonical", "next", "prev", "edit"}  # `rel` of a <link> that loads nothing
MARKDOWN_LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@dataclass
class Read(HTMLParser):
    """The links, the loaded files and the anchors of one page."""

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what a tag names."""
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in LOADED and LOADED[tag] in values and not NO_FILES & set(values.get("rel", "").split()):
            self.loaded.append(values[LOADED[tag]])


@cache
def read(path: Path) -> Read:
    """Return what a page holds."""
    page = Read()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def faults_of_site(site: Path) -> Iterator[str]:
    """Yield a sentence for each link that leads nowhere and each file that is loaded from elsewhere."""
    for path in sorted(site.rglob("*.html")):
        page, name = read(path), path.relative_to(site)
        for address in page.loaded:
            if not address.startswith("data:"):
                yield from (f"{name} loads {address}: {why}" for why in _outside_or_missing(address, path, site))
        for address in page.links:
            yield from (f"{name} links to {address}: {why}" for why in _fault(address, path, site))
    for path in sorted(site.rglob("*.css")):
        for match in CSS_URL.finditer(path.read_text(encoding="utf-8")):
            address = match[1] or match[2]
            yield from (
                f"{path.relative_to(site)} loads {address}: {why}" for why in _outside_or_missing(address, path, site)
            )


def faults_of_file(path: Path) -> Iterator[str]:
    """Yield a sentence for each link of a Markdown file that names no file of the repository."""
    for address in MARKDOWN_LINK.findall(FENCED.sub("", path.read_text(encoding="utf-8"))):
        parts = urlsplit(address)
        if parts.scheme:
            yield from (f"{path.name} links to {address}: {why}" for why in _malformed(address))
        elif parts.path and not (path.parent / unquote(parts.path)).exists():
            yield f"{path.name} links to {address}: there is no such file"


def _outside_or_missing(address: str, path: Path, site: Path) -> Iterator[str]:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        yield "it lies outside the site"
    elif not _target(parts.path, path, site).is_file():
        yield "there is no such file"


def _fault(address: str, path: Path, site: Path) -> Iterator[str]:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        yield from _malformed(address)
        return
    target = _target(parts.path, path, site) if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        yield "there is no such page"
    elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).anchors:
        yield "the page has no such anchor"


def _target(address: str, path: Path, site: Path) -> Path:
    return site / unquote(address).lstrip("/") if address.startswith("/") else path.parent / unquote(address)


def _malformed(address: str) -> Iterator[str]:
    parts = urlsplit(address)
    if parts.scheme == "mailto":
        if "@" not in parts.path:
            yield "this is no mail address"
    elif parts.scheme not in {"http", "https"} or not HOST.fullmatch(parts.netloc):
        yield "this is no web address"


def main() -> None:
    """Print every fault, and exit with 1 if there is one."""
    site = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site"
    if not (site / "index.html").is_file():
        sys.exit(f"{site} holds no site; run `make site`.")
    faults = list(faults_of_site(site))
    faults += [fault for name in ("README.md", "CONTRIBUTING.md") for fault in faults_of_file(ROOT / name)]
    if faults:
        sys.exit("\n".join([*dict.fromkeys(faults), f"{len(faults)} links or files of the site are wrong."]))
    pages = list(site.rglob("*.html"))
    sys.stdout.write(f"{len(pages)} pages, {sum(len(read(path).links) for path in pages)} links: all of them hold\n")


if __name__ == "__main__":
    main()
