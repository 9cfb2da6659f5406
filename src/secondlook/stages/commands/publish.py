"""`secondlook publish`: an exported dataset goes to the Hugging Face Hub, when somebody asks for it."""

from pathlib import Path
from typing import Annotated

import typer


def publish(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished export in the format hf_dataset.")],
    to: Annotated[str, typer.Option("--to", metavar="hub:OWNER/NAME", help="Dataset on the Hub; made if it is new.")],
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see it; without this, a new dataset is private.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the files and their sizes; ask and send nothing.")
    ] = False,
) -> None:
    """Put an export on the Hugging Face Hub; files that did not change since the last time are not uploaded again.

    The token is that of HF_TOKEN or `hf auth login`. Nothing else, and no rule of the workflow, publishes anything.
    """
    from secondlook.base import progress
    from secondlook.stages.export import publish as stage
    from secondlook.stages.export.hf_card import UNKNOWN_LICENCE

    target = stage.Target.of(to, public=public)
    export = stage.finished(folder)
    if export.left_out:
        progress.say(f"publish: not part of the export, so left out: {', '.join(export.left_out)}")
    if export.licence == UNKNOWN_LICENCE:
        progress.say("publish: no licence of the images is stated; may others see them? (`licence` of the dataset)")
    if dry_run:
        typer.echo(f"would publish to {to}, {target.seen_by} if it is new:\n{export.listing()}")
    else:
        stage.publish(export, target)
