"""The review pages on disk: one per batch, which loads thumbnails, looks and images when shown, and an index."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa

from secondlook.base import progress
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.stages import ReviewOptions
from secondlook.io import facts, files, records
from secondlook.pages import render
from secondlook.pages.forecast import forecast_of
from secondlook.stages.review import index, queue, thumbnails
from secondlook.stages.review.decisions import COLUMNS
from secondlook.stages.review.queue import Objects, Queue
from secondlook.stages.review.reading import UNDONE
from secondlook.stages.review.shown import Card, Shown
from secondlook.stages.review.thumbnails import Piece

PARTS = {"thumbnails": 100, "looks": 20}  # objects of a batch in one file
DESK = "desk"  # the name of the page that the server fills
SCRIPTS = {  # of each template, in the order in which they need each other
    "page.html": (
        *("strings", "dom", "store", "outbox", "decisions", "source", "crop", "classes", "grid", "panel"),
        *("single", "supply", "marks", "wall", "person", "desk", "app"),
    ),
    "index.html": ("strings", "dom", "store", "source", "person", "desk", "home"),
}
_SEPARATORS = ("--", "/")  # of the levels of class names that form a tree
AT_ONCE = 5000  # objects whose votes are read together: each reading goes through all shards
_WEB = Path(__file__).parent / "web"
# text inside a script element: the data must not end it or open a comment
_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def write_pages(results: Path, out: Path, options: ReviewOptions) -> None:
    """Write the queue, its thumbnails, a page per batch and `index.html` to folder `out`; earlier pages are deleted."""
    objects = queue.load_objects(results)
    queued = queue.make_queue(objects, results, options)
    taxonomy = records.taxonomy_of(results / "ingest" / "instances.parquet")
    _write_queue(out, queued, taxonomy, options)
    shown = Shown(results, objects, options)
    pages = _Pages(out, shown, facts.banner(results / "ingest" / "instances.parquet"))
    thumbnails.write(out / thumbnails.FILE, pages.written(queued))
    pages.delete_earlier()
    about = index.about(results.name, objects, queued, options)
    forecast = forecast_of(objects.guarantee.get("buys") or [])
    context = {"page": {**about, "batches": pages.entries}, "rehearsal": pages.rehearsal, "forecast": forecast}
    files.write_text(out / "index.html", _render("index.html", context, {"task": results.name}))
    progress.say(
        f"review: {len(queued.table)} of {len(objects.table)} objects on {len(pages.entries)} pages, "
        f"{out / 'index.html'}"
    )


def render_desk(results: Path, objects: Objects) -> str:
    """Return the page that the server fills with objects."""
    rehearsal = facts.banner(results / "ingest" / "instances.parquet")
    return _page(_data(results.name, DESK, "", objects.classes, []), rehearsal)


def _write_queue(out: Path, queued: Queue, taxonomy: Taxonomy, options: ReviewOptions) -> None:
    made_by = {"stage": "review", "options": options.model_dump(exclude={"decisions"})}
    about: dict[str, Any] = {"taxonomy": taxonomy, "made_by": made_by}
    table = pa.Table.from_pandas(
        queued.table[records.QUEUE.schema.names], schema=records.QUEUE.schema, preserve_index=False
    )
    records.write(out / "queue.parquet", table, records.QUEUE, **about)
    rows = [
        {"instance_id": name, "group": leader, "kind": kind}
        for leader, others in queued.others.items()
        for kind, names in (("track", others.track), ("near_duplicate", others.alike))
        for name in names
    ]
    records.write(out / "alike.parquet", records.to_table(rows, records.ALIKE), records.ALIKE, **about)


@dataclass
class _Batch:
    """A page: its name, its cards in the order of the queue, and what goes into its part files."""

    name: str
    cards: list[Card]
    thumbnails: dict[str, Piece]
    looks: dict[str, dict[str, Any]]


class _Pages:
    """The pages of a run: they are written one by one, and those of an earlier run deleted in the end."""

    def __init__(self, out: Path, shown: Shown, rehearsal: str | None) -> None:
        self.out, self.shown, self.rehearsal = out, shown, rehearsal
        self.entries: list[dict[str, Any]] = []
        self._images: dict[str, str | None] = {}
        self._names: set[str] = set()

    def written(self, queued: Queue) -> Iterator[Mapping[str, Piece]]:
        """Write the pages, and yield the thumbnails of each."""
        size = self.shown.options.batch_size
        cards = list(self.shown.cards(queued.table, queued.others))
        together = max(1, AT_ONCE // size) * size
        starts = range(0, len(cards), size)
        for number, start in enumerate(progress.track(starts, total=len(starts), what="pages"), start=1):
            if start % together == 0:
                ballots = self.shown.ballots(cards[start : start + together])
            batch = _Batch(f"batch-{number:03d}", cards[start : start + size], {}, {})
            for card, cuts, look in self.shown.looks(batch.cards, ballots):
                batch.looks[card["id"]] = {**look, "image": self._image(card)}
                if cuts is not None:
                    batch.thumbnails[card["id"]] = cuts.thumbnail
            batch.thumbnails |= self.shown.crops([name for name in batch.looks if name not in batch.thumbnails])
            self._write(batch)
            yield batch.thumbnails
        missing = [path for path, name in self._images.items() if name is None]
        if missing:
            progress.say(
                f"review: {len(missing)} images cannot be read, {missing[0]} first; their objects have no image"
            )

    def _write(self, batch: _Batch) -> None:
        key = _key(self.shown.results.name, batch.cards, self.shown.objects.classes)
        data = _data(self.shown.results.name, batch.name, key, self.shown.objects.classes, batch.cards)
        names = [card["id"] for card in batch.cards]
        pieces = {name: piece.as_json() for name, piece in batch.thumbnails.items()}
        for kind, found in (("thumbnails", pieces), ("looks", batch.looks)):
            for number, start in enumerate(range(0, len(names), PARTS[kind])):
                part = {name: found.get(name) for name in names[start : start + PARTS[kind]]}
                text = f'Parts.take("{kind}", {_json(part)});\n'
                self._keep(f"{batch.name}/{kind}-{number:03d}.js", text.encode())
        self._keep(f"{batch.name}.html", _page(data, self.rehearsal).encode())
        self.entries.append(index.entry(batch.name, key, batch.cards))

    def _image(self, card: Card) -> str | None:
        """Return where the page finds the whole image of a card, which is written once."""
        path = card["path"]
        if path not in self._images:
            image = self.shown.small_image(card)
            name = f"images/{hashlib.blake2b(path.encode('utf-8', 'surrogateescape')).hexdigest()[:20]}.jpg"
            self._images[path] = None if image is None else name
            if image is not None:
                self._keep(name, image)
        return self._images[path]

    def _keep(self, name: str, content: bytes) -> None:
        files.write_bytes(self.out / name, content)
        self._names.add(name)

    def delete_earlier(self) -> None:
        """Delete the pages, parts and images that an earlier run wrote and this one did not."""
        for path in [*self.out.glob("batch-*.html"), *self.out.glob("batch-*/*.js"), *self.out.glob("images/*.jpg")]:
            if path.relative_to(self.out).as_posix() not in self._names:
                path.unlink()
        for folder in filter(Path.is_dir, self.out.glob("batch-*")):
            if not any(folder.iterdir()):
                folder.rmdir()


def _data(task: str, name: str, key: str, classes: Sequence[str], cards: Sequence[Card]) -> dict[str, Any]:
    """Return what the scripts of a page are given."""
    return {
        **{"task": task, "name": name, "key": key, "classes": list(classes), "columns": list(COLUMNS)},
        **{"undone": UNDONE, "parts": PARTS, "tree_separator": _separator(classes), "cards": list(cards)},
    }


def _separator(classes: Sequence[str]) -> str | None:
    """Return what separates the levels of class names; None where most names have a single one."""
    for separator in _SEPARATORS:
        if 2 * sum(separator in name.strip(separator) for name in classes) > len(classes):
            return separator
    return None


def _key(task: str, cards: Sequence[Card], classes: Sequence[str]) -> str:
    """Return the name under which a browser keeps the decisions on a page."""
    audits = [[card["id"], card["proposal"]] for card in cards if card["sample"] == records.AUDIT]
    parts = [task, [card["id"] for card in cards], list(classes), *audits]
    return hashlib.blake2b(json.dumps(parts).encode()).hexdigest()[:20]


def _json(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter, escape in _ESCAPED.items():
        text = text.replace(letter, escape)
    return text


def _page(data: dict[str, Any], rehearsal: str | None) -> str:
    return _render("page.html", {"page": data, "rehearsal": rehearsal}, data)


def _render(template: str, context: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_WEB, render.SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    parts = {path.name: path.read_text(encoding="utf-8") for path in sorted(_WEB.iterdir()) if path.suffix != ".html"}
    scripts = [parts[f"{name}.js"] for name in SCRIPTS[template]]
    return environment.get_template(template).render(
        {**context, "data": _json(data), "style": parts["page.css"], "scripts": scripts}
    )
