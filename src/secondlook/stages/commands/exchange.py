"""`secondlook review export-to` and `import-from`: the doubtful objects in CVAT or Label Studio, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from secondlook.base import progress
from secondlook.base.errors import UsageError
from secondlook.base.text import counted
from secondlook.io.command_line import OutFolder

if TYPE_CHECKING:
    from secondlook.stages.review.changes import Untouched


@dataclass(frozen=True)
class Tool:
    """What comes back from a tool: formats by ending, and what an object is that came back as it was sent."""

    formats: Mapping[str, str]
    untouched: "Untouched"


TOOLS = {
    "cvat": Tool({".xml": "cvat", ".json": "coco"}, "unseen"),
    "labelstudio": Tool({".json": "labelstudio"}, "accepted"),
}
ToolName = Annotated[Literal["cvat", "labelstudio"], typer.Argument(metavar="TOOL", help=f"{' or '.join(TOOLS)}.")]
Url = Annotated[
    str | None,
    typer.Option(help="Address of a server; the token is in CVAT_ACCESS_TOKEN or LABEL_STUDIO_API_KEY."),
]
Project = Annotated[str | None, typer.Option(help="With --url: name of the project, in CVAT of the task.")]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def export_to(
    tool: ToolName,
    results: Annotated[Path, typer.Argument(help="Results folder of a task, e.g. results/demo_signs.")],
    out: OutFolder,
    queue: Annotated[
        Path | None, typer.Option(help="queue.parquet with the objects; by default RESULTS/review/queue.parquet.")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="All objects and images of the dataset, not only the queue.")
    ] = False,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images; by default the deepest one that contains them all.")
    ] = None,
    image_prefix: Annotated[str | None, typer.Option(help="labelstudio: prefix of image names.")] = None,
    url: Url = None,
    project: Project = None,
) -> None:
    """Write the doubtful objects for CVAT or Label Studio, with the proposals as their labels.

    RESULTS/sent keeps what was written, which `import-from` needs.
    """
    from secondlook.io import facts, records
    from secondlook.stages import export as stage
    from secondlook.stages.commands.reading_back import SENT

    if all_ and queue is not None:
        raise UsageError("--all and --queue: all objects go out, or those of a queue; give one of both.")
    server = _server(tool, url, project)
    instances, consensus = results / "ingest" / "instances.parquet", results / "consensus" / "consensus.parquet"
    labelers = records.made_by(consensus).get("labelers", {})
    votes = records.part_files([path for name in labelers if (path := results / "label" / name).is_dir()], None)
    inputs = stage.Inputs(instances, consensus, votes, images=images)
    request = stage.Request(tool, out, image_prefix=image_prefix)
    proposals = stage.hand_over(
        inputs,
        queue or results / "review" / "queue.parquet",
        request,
        stage.of_all if all_ else stage.of_queue,
    )
    kept, made_by = results / SENT / f"{proposals.batch}.parquet", {"stage": "review", "batch": proposals.batch}
    taxonomy = records.taxonomy_of(instances)
    records.write(kept, proposals.sent, records.SENT, taxonomy=taxonomy, made_by=made_by)
    progress.say(
        f"review: {counted(len(proposals.sent), 'object')} for {tool} in {out}, batch {proposals.batch}; images are "
        f"named relative to {proposals.corrected.root}"
    )
    if (rehearsal := facts.banner(instances)) is not None:
        progress.say(f"review: {rehearsal}")
    if server is not None:
        shown = {image.name: proposals.corrected.root / image.name for image in proposals.corrected.images()}
        progress.say(f"review: {_talk(tool).send(server, out, shown)}")


@app.command()
def import_from(
    tool: ToolName,
    out: OutFolder,
    results: Annotated[Path, typer.Option(help="Results folder of the task that the objects were exported from.")],
    reviewer: Annotated[str, typer.Option(help="Name of who worked on it; several people get names after this one.")],
    file: Annotated[
        Path | None, typer.Argument(help="Export of the tool: CVAT's XML or COCO, Label Studio's JSON, or its zip.")
    ] = None,
    untouched: Annotated[
        Literal["accepted", "unseen"] | None,
        typer.Option(
            metavar="accepted|unseen",
            help="What objects count as that came back as sent; by default accepted from Label Studio, where somebody "
            "submitted them, and unseen from CVAT.",
        ),
    ] = None,
    sent: Annotated[
        Path | None, typer.Option(help="File in RESULTS/sent to compare with; by default the one that the boxes name.")
    ] = None,
    url: Url = None,
    project: Project = None,
) -> None:
    """Read what came back from CVAT or Label Studio: decisions.csv for data/reviews/TASK, and changes.csv with all.

    Moved, deleted, relabelled and new boxes are told apart by their ids and by where they lie.
    """
    from secondlook.stages.commands.reading_back import File, read_back
    from secondlook.stages.review import changes

    server = _server(tool, url, project)
    if not reviewer.strip():
        raise UsageError("--reviewer: the name is empty; give that of who worked on it.")
    if server is not None and file is None:
        out.mkdir(parents=True, exist_ok=True)
        file = _talk(tool).receive(server, out)
    elif server is not None or file is None:
        raise UsageError("give either the file that came back, or --url and --project.")
    known = TOOLS[tool]
    handed_over, submitted = read_back(File(file, known.formats, reviewer.strip(), sent), results)
    changes.write(submitted, changes.Judge(handed_over.rows, handed_over.taxonomy, untouched or known.untouched), out)


def _server(tool: str, url: str | None, project: str | None) -> Any:
    """Return the server to talk to, None where none is named; raise UsageError before anything is written."""
    from secondlook.stages.review.servers import Server, sdk, token

    if (url is None) != (project is None):
        raise UsageError("--url and --project go together.")
    if url is None or project is None:
        return None
    talk = _talk(tool)
    sdk(talk.SDK)
    token(talk.TOKEN)
    return Server(url, project)


def _talk(tool: str) -> Any:
    return import_module(f"secondlook.stages.review.servers.{tool}")


def commands() -> dict[str, Any]:
    """Return both commands by name."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)
