"""`secondlook consensus`: votes become one label with a probability, and a decision."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options, OutFile
from secondlook.io.destinations import require_format
from secondlook.stages.commands.options import Groups, Shards


def consensus(
    votes: Annotated[list[Path], typer.Option(help="Vote files or folders, or one CSV of item, worker, label.")],
    out: OutFile,
    shards: Shards = None,
    instances: Annotated[
        Path | None, typer.Option(help="instances.parquet of the dataset; not needed for a CSV of votes.")
    ] = None,
    groups: Groups = None,
    reviewed: Annotated[
        Path | None,
        typer.Option(
            help="Decisions of people: reviewed.parquet; with a CSV of votes, a CSV of item, label, and sample "
            "(random or queue, in the order of the looks)."
        ),
    ] = None,
    frozen: Annotated[
        Path | None, typer.Option(help="epoch-NNN.parquet of `secondlook freeze`, for a guarantee with `exact: true`.")
    ] = None,
    guarantee: Annotated[
        str | None,
        typer.Option(
            metavar="YAML",
            help="With a CSV of votes: what to guarantee, e.g. '{of: dataset, alpha: 0.05, delta: 0.05}'; adds the "
            "column `accepted`.",
        ),
    ] = None,
    method: Annotated[str | None, typer.Option(help="auto, or the name of a method; see docs/consensus.md.")] = None,
    options: Options = None,
) -> None:
    """Merge the votes into one label with a probability, and decide: keep, relabel or review."""
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.io import records
    from secondlook.stages import consensus as stage

    settings = config.parse_options(stages.ConsensusOptions, options, **({"method": method} if method else {}))
    if len(votes) == 1 and votes[0].suffix.lower() == ".csv":
        if frozen is not None:
            raise UsageError("--frozen goes with vote files; a CSV of votes has no frozen scores.")
        terms = settings.guarantee if "guarantee" in settings.model_fields_set else None
        if guarantee is not None:
            if not guarantee.strip():
                raise UsageError("--guarantee: is empty; give a mapping such as '{alpha: 0.05}'.")
            terms = config.parse_options(stages.Guarantee, guarantee, "--guarantee")
        if terms is not None and terms.exact:
            raise UsageError(
                "--guarantee: `exact` needs scores frozen by `secondlook freeze`; a CSV has none, so omit it."
            )
        stage.merge_plain(votes[0], reviewed, require_format(out, ".csv"), settings, terms)
    elif guarantee is not None:
        raise UsageError("--guarantee goes with one CSV of votes; for vote files it is a key of --options.")
    elif instances is None:
        raise UsageError("vote files need --instances FILE; only a CSV of item, worker, label works without it.")
    else:
        files = records.part_files(votes, shards)
        places = stage.Places(instances, files, reviewed, require_format(out, ".parquet"), groups, frozen)
        stage.merge_votes(places, settings)
