"""Scores that are frozen, so that the guarantee about them is proven (`exact: true`): one file per epoch."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import records
from secondlook.stats.consensus.accept import Proposals
from secondlook.stats.guarantee.epochs import freeze
from secondlook.stats.guarantee.frozen import last_epoch, name_of, number_of


def freeze_scores(results: Path, decisions: Path) -> None:
    """Freeze the labels and scores of what nobody has seen yet: write the next `epoch-NNN.parquet` to `decisions`.

    `results` is the folder of a task whose consensus knows all decisions so far. Raises DataError where it does not.
    """
    consensus, reviewed = results / "consensus" / "consensus.parquet", results / "review" / "reviewed.parquet"
    if not reviewed.exists():
        raise DataError(f"{reviewed}: does not exist; run Snakemake on this task first.")
    newer = [path for path in decisions.glob("*.csv") if path.stat().st_mtime > reviewed.stat().st_mtime]
    if newer:
        raise DataError(f"{newer[0]}: is newer than {reviewed}; run Snakemake first, so that the scores know it.")
    table = records.read(consensus, records.DECISION, columns=["instance_id", "label", "score"])
    taxonomy = records.taxonomy_of(consensus)
    ids = table["instance_id"].combine_chunks()
    rank = np.array([records.review_fraction(name) for name in ids.to_pylist()])
    told = records.read(reviewed, records.REVIEW, columns=["instance_id"])["instance_id"].combine_chunks()
    seen = pc.is_in(ids, value_set=told).to_numpy(zero_copy_only=False)
    proposals = Proposals(records.class_positions(table["label"], taxonomy.classes), table["score"].to_numpy())
    last = last_epoch(decisions)
    epoch = freeze(proposals, seen, rank, 0, 0 if last is None else number_of(last))
    if not epoch.population.any():
        raise DataError(f"{reviewed}: people have seen every object, so there is nothing to freeze.")
    if last is not None and records.made_by(last).get("frozen") == epoch.about()["frozen"]:
        raise DataError(f"{last}: holds these very scores, and nothing was reviewed since; freeze later.")
    frozen = table.filter(pa.array(epoch.population)).replace_schema_metadata(None)
    out = decisions / f"{name_of(epoch.number)}.parquet"
    about = {"stage": "freeze", **epoch.about()}
    records.write(out, frozen.cast(records.FROZEN.schema), records.FROZEN, taxonomy=taxonomy, made_by=about)
    progress.say(
        f"freeze: {out}: epoch {epoch.number}, the scores of {len(frozen)} objects of {len(ids)}; "
        f"with `guarantee: {{exact: true}}` reviews from now on test them at delta / {2**epoch.number}"
    )
