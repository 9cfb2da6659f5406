"""What goes into every export about how its labels came about, as plain values; `datasheet_text` words them.

Everything is read from the metadata of votes and decisions and from the objects themselves, so that the same inputs
give the same datasheet; it holds no time and no date. What no file states is None, and the text says so.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import secondlook
from secondlook.config.datasheet import AboutOptions
from secondlook.io import records, standing
from secondlook.pages.merging import merging_of
from secondlook.stages.export.corrected import Corrected
from secondlook.stats.consensus.votes import GIVEN

_MODEL_KEYS = ("classifier", "trained", "weights", "encoder", "model")  # of the options of a labeler, the nearest first
_DIGEST_CHARS = 16
Facts = Mapping[str, Any]


def facts_of(corrected: Corrected, votes: Sequence[Path], about: AboutOptions) -> Facts:
    """Return the datasheet of an export as plain values; `votes` are the vote files that it was given."""
    made_by = corrected.made_by
    own = corrected.table.filter(pc.not_equal(corrected.table["action"], standing.OF_REFERENCE))
    stated, asked = metadata_of(votes), _asked(corrected.table["instance_id"], votes)
    return {
        "secondlook": secondlook.__version__,
        "title": about.title,
        "objects": len(corrected),
        "images": len(corrected.image_table()),
        "images_without_objects": len(corrected.background),
        "classes": list(corrected.classes),
        "queue_only": corrected.queued,
        "rehearsal": _rehearsal(corrected),
        "left_out": dict(corrected.facts.left_out) if corrected.facts is not None else None,
        "decisions": counts_of(corrected.table["action"]),
        "label_sources": counts_of(corrected.table["label_source"]),
        "without_label": corrected.unlabelled(),
        "figures": standing.counts(own),
        "labelers": [
            {**_labeler(corrected, name, family, stated), "asked": asked.get(name)}
            for name, family in _families(corrected).items()
        ],
        "consensus": _consensus(made_by),
        "reviews": _reviews(made_by),
        "sources": [{**source.model_dump(), "name": _plain(source.name)} for source in about.sources],
        "settings": _digest([made_by, *stated.values()]),
    }


def metadata_of(votes: Sequence[Path]) -> dict[str, Mapping[str, Any]]:
    """Return the metadata of the first vote file of each labeler."""
    stated: dict[str, Mapping[str, Any]] = {}
    for path in votes:
        made_by = records.made_by(path)
        stated.setdefault(str(made_by.get("labeler", "")), made_by)
    return stated


def _asked(instance_ids: pa.ChunkedArray, votes: Sequence[Path]) -> dict[str, list[int]]:
    """Return about how many of the objects a labeler was asked, and on how many it has votes.

    Labelers that were asked about everything are left out.
    """
    parts = [path for path in votes if pc.any(_unasked(records.read(path, records.VOTE, columns=["status"]))).as_py()]
    some = {records.made_by(path).get("labeler") for path in parts}
    found: dict[str, list[int]] = {}
    for path in votes:
        if (labeler := records.made_by(path).get("labeler")) in some:
            table = records.read(path, records.VOTE, columns=["instance_id", "status"])
            table = table.filter(pc.is_in(table["instance_id"], value_set=instance_ids.combine_chunks()))
            counts = found.setdefault(str(labeler), [0, 0])
            counts[0] += len(table) - (pc.sum(_unasked(table)).as_py() or 0)
            counts[1] += len(table)
    return {labeler: counts for labeler, counts in found.items() if counts[0] < counts[1]}


def _unasked(votes: pa.Table) -> pa.ChunkedArray:
    return pc.equal(votes["status"], records.NOT_ASKED)


def counts_of(column: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value of a column stands there, the most frequent first."""
    counted = {str(row["values"]): int(row["counts"]) for row in pc.value_counts(column).to_pylist()}
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _rehearsal(corrected: Corrected) -> str | None:
    rehearsal = None if corrected.facts is None else corrected.facts.rehearsal
    return None if rehearsal is None else rehearsal.sentence


def _families(corrected: Corrected) -> dict[str, str | None]:
    """Return the family of each labeler: of those that the decisions name, then of others whose votes are here."""
    named: dict[str, str | None] = dict(corrected.made_by.get("labelers", {}))
    return {**named, **{name: None for name in corrected.labelers if name not in named}}


def _labeler(
    corrected: Corrected, name: str, family: str | None, stated: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    if name == GIVEN:
        return _given(corrected)
    made_by = stated.get(name, {})
    options = made_by.get("options", {})
    here = name in corrected.labelers
    answered = corrected.table.num_rows - corrected.table[f"vote_{name}"].null_count if here else None
    return {
        "name": name,
        "family": family or made_by.get("family"),
        "kind": options.get("kind"),
        "model": next((_plain(options[key]) for key in _MODEL_KEYS if options.get(key)), None),
        "revision": _revision(made_by),
        "view": options.get("view"),
        "answered": answered,
        "secondlook": made_by.get("secondlook"),
    }


def _given(corrected: Corrected) -> dict[str, Any]:
    """Return the dataset's own labels, which vote too."""
    count = len(corrected) - corrected.table["given"].null_count
    about = {"family": GIVEN, "kind": "the labels of the dataset", "model": "none", "revision": "none"}
    return {"name": GIVEN, **about, "view": None, "answered": count, "secondlook": None}


def _plain(model: object) -> str:
    """Return the name of a model, of a folder elsewhere on the disk only its last part."""
    text = str(model)
    return Path(text).name if text.startswith(("/", "~")) else text


def _revision(made_by: Mapping[str, Any]) -> str | None:
    folds = made_by.get("out_of_fold", {}).values()
    found = [one.get("revision") for one in (made_by, *folds)] + [made_by.get("options", {}).get("revision")]
    return next((str(one) for one in found if one), None)


def _consensus(made_by: Mapping[str, Any]) -> dict[str, Any]:
    merging = merging_of(made_by, made_by.get("guarantee", {}))
    options = made_by.get("options", {})
    return {
        "method": made_by.get("method") or options.get("method"),
        "chosen": made_by.get("chosen"),
        "why": merging.why,
        "expected": merging.expected,
        "guarantee": {
            "held": merging.held,
            "sentence": merging.guarantee,
            "sampled": merging.sampled,
            "terms": options.get("guarantee"),
        },
        "secondlook": made_by.get("secondlook"),
    }


def _reviews(made_by: Mapping[str, Any]) -> dict[str, Any]:
    merging = merging_of(made_by, made_by.get("guarantee", {}))
    agreement = None if merging.agreement is None else asdict(merging.agreement)
    return {"objects": made_by.get("reviewed"), "people": made_by.get("reviewers"), "agreement": agreement}


def _digest(stated: Sequence[Mapping[str, Any]]) -> str:
    """Return a digest of all that decisions and votes state about their settings."""
    content = json.dumps(list(stated), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:_DIGEST_CHARS]
