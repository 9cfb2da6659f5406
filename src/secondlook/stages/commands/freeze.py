"""`secondlook freeze`: fix the scores of now, so that a guarantee about them is proven."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.io.command_line import Options


def freeze(
    results: Annotated[Path, typer.Argument(help="Results folder of a task, e.g. results/demo_signs.")],
    options: Options = None,
) -> None:
    """Freeze labels and scores for a guarantee with `exact: true`; it is tested on reviews from now on."""
    from secondlook.config import root as config
    from secondlook.config import stages
    from secondlook.stages.consensus.freeze import freeze_scores

    settings = config.parse_options(stages.ReviewOptions, options)
    freeze_scores(results, Path(settings.decisions) / results.name)
