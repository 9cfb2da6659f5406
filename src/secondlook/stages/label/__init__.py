"""Stage `label`: one labeler votes on shards, one after the other."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondlook.base import progress
from secondlook.io import records
from secondlook.jobs import cache, ledger
from secondlook.models.lessons import require_whole
from secondlook.stages.label.judge import Judge, OutOfFold
from secondlook.stages.label.kinds import Kind, kind_of
from secondlook.stages.label.voter import Job, Voter

__all__ = ["Voter", "label_shards"]


def label_shards(voter: Voter, shards: Sequence[tuple[Path, Path]], *, threads: int = 1) -> None:
    """Write the votes on each file of objects to its output; the network is loaded once, and only if it is needed.

    The objects are crops, embeddings or instances, as the labeler needs. Votes on the same objects by the same labeler
    are restored from the cache. With lessons each object is judged by what learned nothing from its fold.
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
    voter, options, out = job.voter, job.voter.options, job.out
    made_by: dict[str, Any] = {
        "stage": "label",
        "labeler": voter.name,
        "family": options.family or voter.name,
        "options": options.model_dump(exclude=set(cache.PACE)),
        **judge.made_by(),
    }
    if _restore(job, judge.kind, records.About(job.taxonomy, made_by)):
        return
    rows, more = judge.rows(job)
    judge.kind.check(rows, options)
    made_by |= more
    records.write(out, records.to_table(rows, records.VOTE), records.VOTE, taxonomy=job.taxonomy, made_by=made_by)
    cache.store([out], _key(job, judge.kind, records.About(job.taxonomy, made_by)))
    ledger.forget(out)
    answered = sum(row["status"] == "answered" for row in rows)
    progress.say(f"label: {voter.name} answered {answered} of {len(rows)} objects")


def _restore(job: Job, kind: Kind, about: records.About) -> bool:
    if about.made_by.get("revision", "") is None or not cache.restore([job.out], _key(job, kind, about), about):
        return False
    kind.check(records.read_columns(job.out, records.VOTE, ["status", "answer"]), job.voter.options)
    return True


def _key(job: Job, kind: Kind, about: records.About) -> str:
    """Return the cache key of votes; of the code it has that of their kind, which includes this package."""
    voter = job.voter
    settings = {**about.made_by, "names": voter.names_read(about.taxonomy), "computes_in": voter.computes_in}
    return cache.key_of({**settings, "learned": voter.learned_digest}, job.objects, code=kind.module)
