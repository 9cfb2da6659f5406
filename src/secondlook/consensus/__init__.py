"""Stage `consensus`: the votes of all labelers become one posterior and one decision per object."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from secondlook import progress, records
from secondlook.config import ConsensusOptions
from secondlook.consensus import plain
from secondlook.consensus.dawid_skene import dawid_skene
from secondlook.consensus.decide import Asked, decisions
from secondlook.consensus.majority import majority
from secondlook.consensus.votes import Posterior, Votes, collect
from secondlook.errors import DataError
from secondlook.taxonomy import Taxonomy


def merge_votes(instances: Path, votes: Sequence[Path], out: Path, options: ConsensusOptions) -> None:
    """Write the decisions of `options.method` to `out`, and those of plain majority beside it."""
    taxonomy = records.taxonomy_of(instances)
    table = records.read(instances, records.INSTANCE).select(["instance_id", "given"])
    asked = Asked(table["instance_id"].to_pylist(), table["given"].to_pylist())
    ballots = collect_votes(asked, votes, taxonomy, use_given=options.use_given)
    made_by = {
        "stage": "consensus",
        "options": options.model_dump(),
        "labelers": dict(zip(ballots.labelers, ballots.families, strict=True)),
    }
    for method, path in (("majority", records.majority_beside(out)), (options.method, out)):
        posterior = merge(ballots, method, options)
        rows = list(decisions(asked, ballots, posterior, accept=options.accept, classes=taxonomy.classes))
        decided = records.to_table(rows, records.DECISION)
        about = {**made_by, "method": method}
        records.write(path, decided, records.DECISION, taxonomy=taxonomy, made_by=about)
    actions = [row["action"] for row in rows]
    progress.say("consensus: " + ", ".join(f"{name} {actions.count(name)}" for name in ("keep", "relabel", "review")))


def merge_plain(votes: Path, out: Path, options: ConsensusOptions) -> None:
    """Merge a CSV of votes (item, worker, label) into a CSV of item, label, confidence."""
    ballots, items, labels = plain.read_votes(votes)
    plain.write_labels(out, ballots, merge(ballots, options.method, options), items, labels)
    progress.say(f"consensus: {len(ballots.class_index)} votes on {len(items)} items")


def merge(votes: Votes, method: str, options: ConsensusOptions) -> Posterior:
    """Return the posterior of one method; each method is one file beside this one."""
    if method == "majority":
        return majority(votes)
    fit = dawid_skene(votes, smoothing=options.smoothing, family_exponent=options.family_exponent)
    return fit.posterior


def collect_votes(asked: Asked, paths: Sequence[Path], taxonomy: Taxonomy, *, use_given: bool) -> Votes:
    """Read vote files into arrays; the given label takes part as the labeler `given` unless switched off."""
    position = {instance_id: row for row, instance_id in enumerate(asked.instance_ids)}
    families: dict[str, str] = {}
    answers: list[tuple[int, int, int]] = []
    for path in paths:
        table = records.read(path, records.VOTE)
        labeler = _labeler(path, records.made_by(path), table, families)
        for instance_id, label in zip(table["instance_id"].to_pylist(), table["label"].to_pylist(), strict=True):
            if instance_id not in position:
                raise DataError(f"{path}: votes on {instance_id}, which is no object of this dataset; label again.")
            if label is None:
                continue
            if label not in taxonomy.aliases:
                raise DataError(f"{path}: answers `{label}`, which is no class of this dataset; label again.")
            answers.append((position[instance_id], labeler, taxonomy.index(label)))
    if use_given:
        families["given"] = "given"
        rows = ((row, len(families) - 1, taxonomy.index(name)) for row, name in enumerate(asked.given) if name)
        answers.extend(rows)
    return collect(answers, len(asked.instance_ids), families, len(taxonomy.classes))


def _labeler(path: Path, made_by: dict[str, Any], table: pa.Table, families: dict[str, str]) -> int:
    names = set(table["labeler"].to_pylist()) or {made_by["labeler"]}
    if len(names) != 1:
        raise DataError(f"{path}: holds votes of several labelers ({', '.join(sorted(names))}); one file, one labeler.")
    name = names.pop()
    if name == "given":
        raise DataError(f"{path}: its labeler is called `given`, the name of the given labels; rename it.")
    families.setdefault(name, str(made_by.get("family", name)))
    return list(families).index(name)
