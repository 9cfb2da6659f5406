"""`secondlook video STEP`: the steps of the video pipeline, one command each."""

from pathlib import Path
from typing import Annotated

import typer

from secondlook.base.errors import UsageError
from secondlook.io.command_line import Options, OutFolder, Threads
from secondlook.io.destinations import FILE, as_folder, files_in, require_apart, require_ending

app = typer.Typer(
    name="video",
    help="Find things that can move, in clips without labels; see docs/video.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

OutFile = Annotated[Path, typer.Option("--out", **FILE, help="File to write (.json, COCO).")]
Frames = Annotated[Path, typer.Argument(help="Output of the step `frames`.")]


@app.command()
def draw(
    out: OutFolder,
    truth: Annotated[Path, typer.Option(help="Folder for the truth of the clips.")],
    options: Options = None,
) -> None:
    """Draw street clips with moving and standing objects, with exact masks, depth and flow."""
    from secondlook.config.root import parse_options
    from secondlook.config.video import ClipScenes
    from secondlook.pipelines.video.drawn import draw_clips

    require_apart([out, truth])
    draw_clips(out, truth, parse_options(ClipScenes, options))


@app.command()
def frames(
    clips: Annotated[Path, typer.Argument(help="Folder of video files, frames, and folders of both at any depth.")],
    out: OutFile,
    listed: Annotated[Path | None, typer.Option(help="File with lines `clip frame`: use only these frames.")] = None,
    part: Annotated[int, typer.Option(min=0, help="Which part of the clips, from 0.")] = 0,
    parts: Annotated[int, typer.Option(min=1, help="Into how many parts the clips are split.")] = 1,
    options: Options = None,
) -> None:
    """List the frames of clips; frames of video files are written as images."""
    from secondlook.config.root import parse_options
    from secondlook.config.video import FrameOptions
    from secondlook.pipelines.video import steps
    from secondlook.pipelines.video.frames import clips_in

    require_ending(out, ".json")  # the frames of video files go into a folder of the same name without it
    require_apart([out, out.with_suffix(""), out.with_suffix(".rejects.csv")], [clips, listed])
    by_name = clips_in(clips, listed, besides=out.with_suffix(""))
    if not by_name:
        raise UsageError(f"{clips}: holds no clip; it must be a folder of video files or of folders of frames.")
    mine = dict(list(by_name.items())[part::parts])
    steps.list_frames(mine, out, parse_options(FrameOptions, options), listed)


@app.command()
def motion(
    source: Frames,
    out: OutFolder,
    truth: Annotated[
        Path | None, typer.Option(help="Folder with the truth of drawn clips, for the source `truth`.")
    ] = None,
    options: Options = None,
) -> None:
    """Compute for each pixel the probability that it moves by itself, and its depth."""
    from secondlook.config.root import parse_options
    from secondlook.config.video import MotionOptions
    from secondlook.pipelines.video import steps

    require_apart([out], [truth])
    steps.find_motion(source, out, parse_options(MotionOptions, options), truth)


@app.command()
def group(
    source: Frames,
    out: OutFile,
    moving: Annotated[Path, typer.Option("--motion", help="Folder that the step `motion` wrote.")],
    options: Options = None,
) -> None:
    """Group moving pixels into objects: the first labels (L0)."""
    from secondlook.config.root import parse_options
    from secondlook.config.video import GroupOptions
    from secondlook.pipelines.video import steps

    require_apart([out], [source, *files_in(moving)])
    steps.group_pixels(source, moving, out, parse_options(GroupOptions, options))


@app.command()
def train(
    labels: Annotated[list[Path], typer.Argument(help="Labels of all clips, from `group`, `predict` or `merge`.")],
    out: OutFolder,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Train the detector of one round; a killed training continues after its last epoch."""
    from secondlook.config.root import parse_options
    from secondlook.config.video import Training
    from secondlook.pipelines.video import steps
    from secondlook.pipelines.video.train import FILES

    training = parse_options(Training, options)
    start = training.network.weights
    require_apart([out / name for name in FILES], [*labels, Path(start) if start else None])
    steps.train_round(labels, out, training, threads=threads)


@app.command()
def predict(
    source: Frames,
    out: OutFile,
    weights: Annotated[Path, typer.Option(help="Folder that the step `train` wrote.")],
    name: Annotated[str, typer.Option(help="Name of the round, which is stored with its boxes.")] = "final",
    score: Annotated[
        float, typer.Option(min=0, max=1, help="Only boxes above this score are written; use 0.05 to compute AP.")
    ] = 0.5,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Find objects in frames, or in any images, with a trained detector."""
    from secondlook.config.root import parse_options
    from secondlook.config.video import DetectorOptions
    from secondlook.pipelines.video import steps

    require_apart([out, out.with_suffix(".rejects.csv")], [source, weights])
    network = parse_options(DetectorOptions, options)
    steps.find_objects(source, weights, out, name, network, score=score, threads=threads)


@app.command()
def look(
    sources: Annotated[list[Path], typer.Argument(help="Images, folders of images at any depth, and video files.")],
    weights: Annotated[Path, typer.Option(help="Folder that `train` or `import` wrote, or a published .pth file.")],
    out: OutFolder,
    score: Annotated[float, typer.Option(min=0, max=1, help="Only objects above this score are shown.")] = 0.5,
    options: Options = None,
    threads: Threads = 1,
) -> None:
    """Find objects in any images and show them: overlays with masks, boxes and scores, a page, and COCO JSON."""
    from secondlook.config.root import parse_options
    from secondlook.config.video import DetectorOptions
    from secondlook.pipelines.video import look as step

    require_apart([out], [*sources, weights])
    step.look(sources, weights, out, parse_options(DetectorOptions, options), score=score, threads=threads)


@app.command()
def merge(
    large: Annotated[Path, typer.Argument(help="Boxes of the detector for large objects.")],
    small: Annotated[Path, typer.Argument(help="Boxes of the detector for small objects, in the same frames.")],
    out: OutFile,
    large_score: Annotated[float, typer.Option(min=0, max=1, help="Use only large boxes above this score.")] = 0.9,
    small_score: Annotated[float, typer.Option(min=0, max=1, help="Use only small boxes above this score.")] = 0.8,
    options: Options = None,
) -> None:
    """Merge the boxes of two detectors (L2)."""
    from secondlook.config.root import parse_options
    from secondlook.config.video import MergeOptions
    from secondlook.pipelines.video import steps

    require_apart([out], [large, small])
    settings = parse_options(MergeOptions, options)
    steps.merge_rounds(large, small, out, settings, large_score=large_score, small_score=small_score)


@app.command()
def boxes(
    labels: Annotated[list[Path], typer.Argument(help="Boxes of the last detector, of all clips.")],
    out: OutFile,
    score: Annotated[float, typer.Option(min=0, max=1, help="Only boxes above this score are written.")] = 0.5,
    options: Options = None,
) -> None:
    """Add tracks to the boxes of all clips and write one COCO file, which `ingest` reads."""
    from secondlook.config.root import parse_options
    from secondlook.config.video import TrackOptions
    from secondlook.pipelines.video import steps

    require_apart([out], labels)
    steps.write_boxes(labels, out, parse_options(TrackOptions, options), score=score)


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="File of weights (.pth), or folder of labels, one JSON per frame.")],
    out: Annotated[Path, typer.Option(help="Folder for weights, or file (.json, COCO) for labels.")],
    frames: Annotated[Path | None, typer.Option(help="For labels: output of the step `frames`.")] = None,
    name: Annotated[
        str | None,
        typer.Option(help="For labels: their round: L0 (moving), L1 (mobile), L2 (merged), large, small or final."),
    ] = None,
    options: Options = None,
) -> None:
    """Read weights or labels of MOD-UV's published code as those of a round."""
    from secondlook.config.root import parse_options
    from secondlook.config.video import DetectorOptions
    from secondlook.pipelines.video import exchange
    from secondlook.pipelines.video.published_weights import OURS

    if source.is_file():
        require_apart([as_folder(out) / OURS], [source])
        exchange.import_weights(source, out, parse_options(DetectorOptions, options))
    elif source.is_dir() and frames is not None and name is not None:
        require_ending(out, ".json")
        require_apart([out], [frames, *source.rglob("*.json")])
        exchange.import_labels(source, frames, out, name)
    elif source.is_dir():
        raise UsageError(f"{source}: labels need --frames, which says their frames, and --name, which says the round.")
    else:
        raise UsageError(f"{source}: there is no such file or folder; give a file of weights or a folder of labels.")


@app.command()
def export(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Folder that the step `train` wrote, or the labels of a round (.json, all parts)."),
    ],
    out: Annotated[Path, typer.Option(help="File (.pth) for weights, or folder for labels, one JSON per frame.")],
    options: Options = None,
) -> None:
    """Write weights or labels of a round as MOD-UV's published code reads them."""
    from secondlook.config.root import parse_options
    from secondlook.config.video import DetectorOptions
    from secondlook.pipelines.video import exchange

    if not any(source.is_dir() for source in sources):
        exchange.export_labels(sources, as_folder(out))
    elif len(sources) > 1:
        raise UsageError("weights are one folder; give it alone, or give only labels (.json), those of one round.")
    else:
        require_ending(out, ".pth")
        require_apart([out], files_in(sources[0]))
        exchange.export_weights(sources[0], out, parse_options(DetectorOptions, options))


@app.command()
def evaluate(
    out: OutFolder,
    truth: Annotated[Path, typer.Option(help="Folder with the truth: one COCO file per clip.")],
    rounds: Annotated[
        list[str], typer.Option("--round", metavar="NAME=FILE", help="Labels of a round; give the last round last.")
    ],
    category: Annotated[list[str] | None, typer.Option(help="Class of the truth that counts; by default all.")] = None,
    score: Annotated[
        float,
        typer.Option(min=0, max=1, help="Boxes of the last round above this score count for recall and precision."),
    ] = 0.5,
    held_out: Annotated[
        str | None, typer.Option(help="Only clips whose names begin so, which no round has learned from.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(**FILE, help="Where to write summary.json; by default summary.json in --out.")
    ] = None,
) -> None:
    """Compare the labels of each round with the truth, and print recall; AP uses all boxes of the last round."""
    from secondlook.pipelines.video import steps

    labels: dict[str, list[Path]] = {}
    for one in rounds:
        name, sign, path = one.partition("=")
        if not sign or not name or not path:
            raise UsageError(f"--round: must be NAME=FILE, such as moving=labels.json, not `{one}`.")
        labels.setdefault(name, []).append(Path(path))
    written = [*(out / name for name in steps.FILES), summary or out / "summary.json"]
    require_apart(written, [*files_in(truth), *(path for paths in labels.values() for path in paths)])
    require_apart([out], [truth])
    counted = steps.Evaluated(category or None, score, held_out)
    typer.echo(steps.evaluate_rounds(labels, truth, out, counted, summary))
