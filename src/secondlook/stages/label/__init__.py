"""Stage `label`: one labeler votes on shards, one after the other."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.io import parquetfile, records
from secondlook.jobs import cache, computed, ledger
from secondlook.models.lessons import objects_of, require_whole
from secondlook.stages.label.asked import Choice, as_votes, joined
from secondlook.stages.label.judge import Judge, OutOfFold, Row
from secondlook.stages.label.kinds import Kind, kind_of
from secondlook.stages.label.voter import Job, Voter

__all__ = ["Voter", "label_shards"]


def label_shards(voter: Voter, shards: Sequence[tuple[Path, Path]], *, threads: int = 1) -> None:
    """Write the votes on each file of objects to its output; the network is loaded once, and only if it is needed.

    The objects are crops, embeddings or instances, as the labeler needs. Votes on the same objects by the same labeler
    are restored from the cache. With lessons each object is judged by what learned nothing from its fold. Objects about
    which the labeler is not asked get votes that say so.
    """
    kind = kind_of(voter.options.kind)
    voter = replace(voter, options=kind.resolve(voter.options))
    if voter.lessons is None:
        require_whole(voter.sources)
    judge = OutOfFold.of(voter, kind, voter.lessons) if voter.lessons is not None else Judge.of(voter, kind)
    with closing(judge):
        for objects, out in progress.shards(shards):
            _label_shard(Job(voter, objects, out, records.taxonomy_of(objects), threads), judge)


def _label_shard(job: Job, judge: Judge | OutOfFold) -> None:
    voter, options = job.voter, job.voter.options
    made_by: dict[str, Any] = {
        "stage": "label",
        "labeler": voter.name,
        "family": options.family or voter.name,
        "options": options.model_dump(exclude={*cache.PACE, *cache.CHOICE}),
        **judge.made_by(),
    }
    choice, about = Choice.of(job.objects, voter.asked), records.About(job.taxonomy, made_by)
    if choice.asked is None and _restore(job, judge.kind, about, len(choice.ids)):
        computed.note(job.out, 0, len(choice.ids))
        return
    known = _known(job, judge.kind, about)
    before = ledger.rows_of(job.out)  # of a killed job
    rows, more = _rows(job, judge, choice.without(known))
    new = as_votes(rows)
    votes = joined(choice.among(known), new)
    judge.kind.check(votes.select(["status", "answer"]).to_pylist(), options)
    every = joined(votes, choice.not_asked(voter.name))
    about = records.About(job.taxonomy, {**made_by, **more})
    _write(job.out, every, about)
    _store(job, judge.kind, about, joined(known, new), whole=choice.asked is None)
    written = ledger.rows_of(job.out)  # none by kinds of labelers that keep no ledger
    computed.note(job.out, min(len(new), written - before) if written else len(new), len(every))
    ledger.forget(job.out)
    answered = pc.sum(pc.equal(votes["status"], "answered")).as_py() or 0
    others = f"; {len(every) - len(votes)} were not asked" if choice.asked is not None else ""
    cached = f" ({len(votes) - len(new)} votes from the cache)" if len(votes) > len(new) else ""
    progress.say(f"label: {voter.name} answered {answered} of {len(votes)} objects{cached}{others}")


def _rows(job: Job, judge: Judge | OutOfFold, left: NDArray[np.bool_]) -> tuple[list[Row], Mapping[str, Any]]:
    """Return votes on the objects that are `left`, (objects,), and the metadata that only the votes reveal."""
    if left.all():
        return judge.rows(job)
    if not left.any():
        return [], {}
    with TemporaryDirectory() as folder:
        objects = objects_of(left, job.objects, Path(folder) / job.objects.name)
        return judge.rows(replace(job, objects=objects, whole=job.objects))


def _write(path: Path, votes: pa.Table, about: records.About) -> None:
    records.write(path, votes, records.VOTE, taxonomy=about.taxonomy, made_by=about.made_by)


def _restore(job: Job, kind: Kind, about: records.About, objects: int) -> bool:
    """Restore the votes on so many objects from the cache, if it has all of them; return whether it had."""
    key = _lasting_key(job, kind, about)
    cached = None if key is None else cache.place(job.out, key)
    if key is None or cached is None or _lacks_some(cached, objects) or not cache.restore([job.out], key, about):
        return False
    kind.check(records.read_columns(job.out, records.VOTE, ["status", "answer"]), job.voter.options)
    return True


def _lacks_some(cached: Path, objects: int) -> bool:
    return cached.is_file() and parquetfile.is_whole(cached) and parquetfile.count(cached) < objects


def _known(job: Job, kind: Kind, about: records.About) -> pa.Table:
    """Return the votes that the cache has of this labeler on objects of the file, whoever was asked then."""
    key = _lasting_key(job, kind, about)
    cached = None if key is None else cache.place(job.out, key)
    if cached is None or not cached.is_file() or not parquetfile.is_whole(cached):
        return as_votes([])
    return records.read(cached, records.VOTE)


def _store(job: Job, kind: Kind, about: records.About, votes: pa.Table, *, whole: bool) -> None:
    """Cache the votes, also those on objects that are not asked any more; the output itself where it has `whole`."""
    key = _key(job, kind, about)
    if whole:
        cache.store([job.out], key)
        return
    _write(cache.place(job.out, key), votes, about)
    cache.forget_others(job.out, key)


def _lasting_key(job: Job, kind: Kind, about: records.About) -> str | None:
    """Return the cache key of votes, None where only the votes reveal which model it is."""
    return None if about.made_by.get("revision", "") is None else _key(job, kind, about)


def _key(job: Job, kind: Kind, about: records.About) -> str:
    """Return the cache key of votes; of the code it has that of their kind, which includes this package."""
    voter = job.voter
    settings = {**about.made_by, "names": voter.names_read(about.taxonomy), "computes_in": voter.computes_in}
    return cache.key_of({**settings, "learned": voter.learned_digest}, job.objects, code=kind.module)
