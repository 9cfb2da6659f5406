"""What people are shown of objects, as JSON: cards for lists, thumbnails for walls, and looks for the single view."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.base.arrays import Floats32
from secondlook.config.stages import ReviewOptions
from secondlook.io import records
from secondlook.pixels import crops, images
from secondlook.pixels.images import Box
from secondlook.stages.review import thumbnails
from secondlook.stages.review.looks_like import Reference
from secondlook.stages.review.places import Places, Rows
from secondlook.stages.review.queue import DIFFER, Objects, Others
from secondlook.stages.review.thumbnails import Cuts, Piece, Thumbnails

Card = dict[str, Any]
LIKELY, LEAST_P = 4, 0.005  # classes of a labeler's probabilities, at most and at least
STACK, STACK_PX = 12, 64  # objects of a stack that are shown
FRAMES, FRAME_PX = 24, 96  # of a track
MOST_COPIES = 1000  # objects that one decision may decide besides its own: they must fit into a cell
LARGEST_PX = 2048  # of a whole image that the server shows
_CONFLICT = 10.0  # added to the doubt of an object on which people disagree
_IMAGES_KEPT = 4  # decoded
_NOBODY = Others((), ())


@dataclass(frozen=True)
class Ballots:
    """What is read of several objects at once, by their ids: the `votes` of each labeler, and their unit `vectors`."""

    votes: Mapping[str, Mapping[str, dict[str, Any]]]
    vectors: Mapping[str, Floats32]


class Shown:
    """The objects of a results folder as pages show them; votes, crops and images are read when they are shown."""

    def __init__(self, results: Path, objects: Objects, options: ReviewOptions) -> None:
        self.results, self.objects, self.options = results, objects, options
        self.places = Places(results / "ingest" / "instances.parquet")
        self._reference = Reference(results, records.taxonomy_of(results / "ingest" / "instances.parquet"))
        self._thumbnails = Thumbnails(results / "review" / thumbnails.FILE)
        named = records.made_by(results / "consensus" / "consensus.parquet").get("labelers", {})
        self._labelers = [name for name in named if (results / "label" / name).is_dir()]
        self._image = lru_cache(_IMAGES_KEPT)(thumbnails.read_image)

    def cards(self, queued: pd.DataFrame, others: Mapping[str, Others]) -> Iterator[Card]:
        """Yield a card for each place of a queue: columns as in `Queue.table`; `others` are those it is shown for."""
        rows = self.places.rows_of(queued["instance_id"].tolist())
        about = self.objects.table.iloc[rows]
        for place, where, given, state in zip(
            queued.to_dict("records"), self.places.at(rows), about["given"], about["state"], strict=True
        ):
            stack = others.get(place["instance_id"], _NOBODY)
            yield {
                "id": place["instance_id"],
                "path": where["image_path"],
                "box": _box(where),
                "size": [where["width"], where["height"]],
                "given": _known(given),
                "proposal": _known(place["proposal"]),
                "confidence": round(float(place["confidence"]), 4),
                "reason": place["reason"],
                "sample": place["sample"],
                "probability": _known(place["probability"]),
                "track": where["track"],
                "stack": len(stack.track) + len(stack.alike),
                **self._copied(stack),
                "doubt": round(float(place["benefit"]) + (_CONFLICT if state == DIFFER else 0.0), 6),
            }

    def _copied(self, stack: Others) -> dict[str, Any]:
        """Return what a decision may decide besides its object, and whether it does if the person says nothing else."""
        how = self.options.copy_decisions
        also = stack.track if how == "tracks" else (*stack.track, *stack.alike)
        return {"also": list(also[:MOST_COPIES]), "copies": bool(how and also)}

    def thumbnails(self, instance_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        """Return the thumbnails of objects: as the pages have them, else their stored crops; None without either."""
        found: dict[str, Piece] = dict(self._thumbnails.of(instance_ids))
        missing = [name for name in instance_ids if name not in found]
        found |= self.crops(missing)
        return {name: found[name].as_json() if name in found else None for name in instance_ids}

    def crops(self, instance_ids: Sequence[str]) -> dict[str, Piece]:
        """Return the stored crops of objects."""
        where = {row["instance_id"]: row for row in self.places.at(self.places.rows_of(instance_ids))}
        shards = self._shards_of(instance_ids)
        loaded = crops.load(self.results / "crop", shards, instance_ids) if instance_ids else {}
        return {name: thumbnails.of_crop(crop, _box(where[name])) for name, crop in loaded.items()}

    def look(self, card: Card) -> dict[str, Any]:
        """Return what the single view shows of a card; the whole image has an address on the server."""
        ((_, cuts, look),) = self.looks([card], self.ballots([card]))
        address = None if cuts is None else f"image?id={card['id']}"
        return {**look, "image": address}

    def ballots(self, cards: Sequence[Card]) -> Ballots:
        """Read the votes on some objects, and their vectors."""
        ids = [card["id"] for card in cards]
        shards = self._shards_of(ids)
        votes = {name: self.votes_of(name, ids, shards) for name in self._labelers}
        return Ballots(votes, self._reference.vectors_of(ids, shards))

    def looks(self, cards: Sequence[Card], ballots: Ballots) -> Iterator[tuple[Card, Cuts | None, dict[str, Any]]]:
        """Yield cards with what is cut out of their images and with all of a look but the address of its image.

        Cards of one image come one after the other, so that it is decoded once.
        """
        rows = self.places.rows_of([card["id"] for card in cards])
        where = self.places.at(rows)
        for place in sorted(range(len(cards)), key=lambda place: where[place]["image_path"]):
            card, name = cards[place], cards[place]["id"]
            cuts = self._cuts(where[place])
            yield (
                card,
                cuts,
                {
                    "context": None if cuts is None or cuts.context is None else cuts.context.as_json(),
                    "boxes": self._boxes(int(rows[place]), card),
                    "votes": [
                        _vote(labeler, own.get(name), self.objects.classes) for labeler, own in ballots.votes.items()
                    ],
                    "alike": self._alike(card, ballots.vectors.get(name)),
                    **self._track(int(rows[place]), card),
                    "stack": list(self._small(card["also"][:STACK], STACK_PX).values()),
                },
            )

    def whole_image(self, instance_id: str) -> bytes | None:
        """Return the image of an object as JPEG, its longer side at most LARGEST_PX; None where it cannot be read."""
        (where,) = self.places.at(self.places.rows_of([instance_id]))
        image = self._image(where["image_path"], where["width"], where["height"])
        return None if image is None else thumbnails.encoded(image, LARGEST_PX)

    def small_image(self, card: Card) -> bytes | None:
        """Return the image of a card as pages on disk show it."""
        image = self._image(card["path"], *card["size"])
        return None if image is None else thumbnails.encoded(image, self.options.image_px)

    def _cuts(self, where: Mapping[str, Any]) -> Cuts | None:
        image = self._image(where["image_path"], where["width"], where["height"])
        return None if image is None else thumbnails.cut(image, _box(where), self.options.image_px)

    def _boxes(self, row: int, card: Card) -> list[dict[str, Any]]:
        """Return all boxes of an image; that of the card has its proposal, so that an audit looks like any other."""
        rows = self.places.beside(row)
        table = self.objects.table.iloc[rows]
        labels = table["label"].where(table["label"].notna(), table["proposal"])
        return [
            {
                "id": where["instance_id"],
                "box": _box(where),
                "label": card["proposal"] if where["instance_id"] == card["id"] else _known(label),
            }
            for where, label in zip(self.places.at(rows), labels, strict=True)
        ]

    def _alike(self, card: Card, vector: Any) -> list[dict[str, Any]]:
        roles = {"proposal": card["proposal"], "given": card["given"]}
        asked = {label: role for role, label in reversed(roles.items()) if label in self.objects.classes}
        shown = [
            {"label": label, "role": role, "crops": self._reference.like(label, vector)}
            for label, role in sorted(asked.items(), key=lambda item: item[1] != "proposal")
        ]
        return [row for row in shown if row["crops"]]

    def _track(self, row: int, card: Card) -> dict[str, Any]:
        """Return how many frames a track has, and at most FRAMES of them, those where labelers differ before others."""
        rows = self.places.frames(row)
        table = self.objects.table.iloc[rows]
        if card["sample"] == records.AUDIT:  # the others would tell that the proposal is not that of the labelers
            table = table.assign(proposal=card["proposal"])
        differs = (table["agreement"] < 1).to_numpy() | (table["proposal"] != card["proposal"]).to_numpy()
        kept = _kept(rows, differs, row)
        names = table["instance_id"].tolist()
        small = self._small([names[place] for place in kept], FRAME_PX)
        shown = [
            {
                "id": names[place],
                "place": place,
                "src": small.get(names[place]),
                "proposal": _known(table["proposal"].iloc[place]),
                "given": _known(table["given"].iloc[place]),
                "differs": bool(differs[place]),
                "here": bool(rows[place] == row),
            }
            for place in kept
        ]
        return {"track": shown, "track_of": len(rows)}

    def _small(self, instance_ids: Sequence[str], limit_px: int) -> dict[str, str]:
        """Return small versions of stored crops as data addresses."""
        found = self.crops(instance_ids)
        return {
            name: images.thumbnail_address(images.decode_rgb(found[name].image), limit_px)
            for name in instance_ids
            if name in found
        }

    def votes_of(self, labeler: str, ids: Sequence[str], shards: Sequence[int]) -> dict[str, dict[str, Any]]:
        """Return the votes of a labeler by object; `shards` are those of the objects, one each."""
        columns = ["instance_id", "label", "probabilities", "answer", "status"]
        table = records.read_objects(self.results / "label" / labeler, records.VOTE, shards, ids, columns)
        return {row["instance_id"]: row for row in table.to_pylist()}

    def _shards_of(self, instance_ids: Sequence[str]) -> list[int]:
        return [where["shard"] for where in self.places.at(self.places.rows_of(instance_ids))]


def _kept(rows: Rows, differs: NDArray[np.bool_], here: int) -> list[int]:
    """Return the places of the frames that are shown: `here`, up to half of them that differ, the rest even."""
    if len(rows) <= FRAMES:
        return list(range(len(rows)))
    kept = {int(np.flatnonzero(rows == here)[0])}
    for wanted, most in ((np.flatnonzero(differs), FRAMES // 2), (np.arange(len(rows)), FRAMES)):
        places = np.setdiff1d(wanted, list(kept))
        free = min(max(0, most - len(kept)), len(places))
        kept |= set(places[np.linspace(0, len(places) - 1, free).astype(int)].tolist())
    return sorted(kept)


def _vote(labeler: str, vote: dict[str, Any] | None, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return what is shown of a vote: its most likely classes, its bare answer, or why there is none."""
    if vote is None:
        return {"labeler": labeler, "status": "no vote", "answer": None, "p": []}
    p = vote["probabilities"] or []
    best = sorted(range(len(p)), key=lambda index: -p[index])[:LIKELY]
    likely = [[index, round(p[index], 4)] for index in best if p[index] >= LEAST_P]
    if vote["label"] is not None and not likely:
        likely = [[classes.index(vote["label"]), None]]
    status = vote["status"].replace("_", " ")  # as people read it
    return {"labeler": labeler, "status": status, "answer": vote["answer"], "p": likely}


def _box(where: Mapping[str, Any]) -> Box:
    """Return a box xywh in px, without the digits that float32 does not have."""
    x, y, w, h = (round(float(where[side]), 3) for side in ("x", "y", "w", "h"))
    return x, y, w, h


def _known(value: Any) -> Any:
    return None if pd.isna(value) else value
