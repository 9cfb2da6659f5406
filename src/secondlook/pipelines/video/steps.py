"""The steps of the pipeline as commands run them: files in, files out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from secondlook.base import progress
from secondlook.base.errors import DataError, UsageError
from secondlook.config.video import (
    DetectorOptions,
    FrameOptions,
    GroupOptions,
    MergeOptions,
    MotionOptions,
    TrackOptions,
    Training,
)
from secondlook.io import files, tabular
from secondlook.io.replaced import LIST, replaced_files
from secondlook.jobs import cache, distributed
from secondlook.models import inference
from secondlook.pipelines.video import (
    detector,
    evaluate,
    frames,
    group,
    labels,
    merge,
    motion,
    predict,
    tracks,
    train,
    usable,
)
from secondlook.pipelines.video.labels import ClipLabels
from secondlook.pipelines.video.report import write_page

FILES = ("rounds.csv", "ap.csv", "video.html")  # of an evaluation
_REJECTS = ("clip", "path", "reason", "detail")


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation counts: classes of the truth (None: all), boxes above a score, and which clips."""

    categories: Sequence[str] | None
    score: float
    held_out: str | None = None

    def clips_of(self, clips: Sequence[ClipLabels]) -> list[ClipLabels]:
        """Return the clips that are held out, or all if none are."""
        return labels.apart(clips, self.held_out)[0 if self.held_out is None else 1]


def list_frames(clips: Mapping[str, Path], out: Path, options: FrameOptions, listed: Path | None) -> None:
    """Write the frames of clips; clips and frames that cannot be read go to `<out>.rejects.csv`."""
    folder = out.with_suffix("")
    indexed, rejects = frames.extract(clips, folder, options, listed)
    films = {clip for clip, place in clips.items() if place.is_file()}
    _replace(folder, [Path(frame.path) for one in indexed if one.clip in films for frame in one.frames])
    write_rejects(out.with_suffix(".rejects.csv"), rejects)
    if clips and not any(one.frames for one in indexed):
        raise DataError(f"no clip has a readable frame; see the reasons in {out.with_suffix('.rejects.csv')}.")
    labels.write(out, indexed, {"step": "frames", "options": options.model_dump()})
    progress.say(
        f"video: {sum(len(one.frames) for one in indexed)} frames of {len(indexed)} clips, {len(rejects)} rejected"
    )


def _replace(folder: Path, written: Sequence[Path]) -> None:
    """Delete the frames of video files in a folder that only earlier runs wrote."""
    names = {path.relative_to(folder).as_posix() for path in written}
    if names or (folder / LIST).is_file():
        with replaced_files(folder, names) as now:
            now.update(names)


def write_rejects(path: Path, rejects: Sequence[Mapping[str, str]]) -> None:
    """Write a row for each clip or frame that cannot be read."""
    files.write_text(path, tabular.to_csv(pd.DataFrame(rejects, columns=list(_REJECTS))))


def find_motion(source: Path, out: Path, options: MotionOptions, truth: Path | None) -> None:
    """Write motion and depth of each clip to folder `out`."""
    for clip in labels.read(source):
        if clip.frames:
            result = motion.compute(clip, options, truth)
            motion.write(out / f"{clip.clip}.safetensors", result, {"options": options.model_dump()})


def group_pixels(source: Path, moving: Path, out: Path, options: GroupOptions) -> None:
    """Write the first labels (L0) of each clip."""
    grouped = []
    for clip in labels.read(source):
        if not clip.frames:
            grouped.append(clip)
            continue
        pixels = motion.read(moving / f"{clip.clip}.safetensors")
        height, width = pixels.motion_prob.shape[1:]
        scale = (clip.frames[0].width / width, clip.frames[0].height / height)
        grouped.append(replace(clip, found=group.group(pixels, options, scale)))
    _write(out, grouped, "group", options.model_dump())


def train_round(sources: Sequence[Path], out: Path, training: Training, *, threads: int) -> None:
    """Train one round on the labels of all clips that are not held out."""
    options, network = training.round, training.network
    settings: dict[str, Any] = {"round": options.model_dump(exclude={"resources"})}
    settings |= {"network": network.model_dump(exclude={"device"})}
    settings |= {"seed": training.seed, "held_out": training.held_out, "threads": threads}
    settings |= {"computes_in": inference.numbers_of(network.precision, network.device)}
    start = [Path(network.weights)] if network.weights else []
    key = cache.key_of(settings, *sources, *start, code=train.__name__)
    device = inference.pick_device(network.device)
    if (
        not distributed.is_inside()
        and (count := distributed.wanted(options.processes, device, most=options.batch_size)) > 1
    ):
        arguments = ["--options", training.model_dump_json(), "--threads", str(threads)]
        distributed.start(count, ["video", "train", *map(str, sources), "--out", str(out), *arguments])
        return
    clips, held = labels.apart(labels.read_all(sources), training.held_out)
    if held:
        progress.say(f"video: {len(held)} of {len(clips) + len(held)} clips are held out")
    train.train(clips, out, options, network, seed=training.seed, threads=threads, key=key)


def find_objects(
    source: Path, weights: Path, out: Path, name: str, network: DetectorOptions, *, score: float, threads: int
) -> None:
    """Write the objects that a trained detector finds in the frames of a file; too thin ones go to `.rejects.csv`."""
    inference.make_deterministic(0, threads)
    device = inference.pick_device(network.device)
    model = detector.load(weights, network, device)
    clips, rejects = usable.usable(labels.read(source), network)
    detected = [replace(one, found=predict.predict(model, one.frames, score, name, device)) for one in clips]
    _reject(out.with_suffix(".rejects.csv"), rejects)
    _write(out, detected, "predict", {"score": score, "round": name})


def _reject(path: Path, rejects: Sequence[Mapping[str, str]]) -> None:
    """Write the frames that the detector cannot take, if there are any, and say how many."""
    if not rejects:
        path.unlink(missing_ok=True)  # of an earlier run
        return
    write_rejects(path, rejects)
    progress.say(f"video: {len(rejects)} frames are rejected and not in the output; see {path}")


def merge_rounds(
    large: Path, small: Path, out: Path, options: MergeOptions, *, large_score: float, small_score: float
) -> None:
    """Write the merged labels (L2) of the large and the small detector, each above its score."""
    both = [labels.read(large), labels.read(small)]
    if [one.clip for one in both[0]] != [one.clip for one in both[1]]:
        raise UsageError(f"{large} and {small} hold different clips; give the same part of both.")
    for big, little in zip(*both, strict=True):
        if [frame.number for frame in big.frames] != [frame.number for frame in little.frames]:
            raise UsageError(
                f"{large} and {small} hold different frames of the clip `{big.clip}`; give boxes of the same frames."
            )
    merged = []
    for big, little in zip(*both, strict=True):
        pairs = zip(big.above(large_score).found, little.above(small_score).found, strict=True)
        rows = [merge.merge(a, b, options) for a, b in pairs]
        merged.append(replace(big, found=rows))
    about = {**options.model_dump(), "large_score": large_score, "small_score": small_score}
    _write(out, merged, "merge", about)


def write_boxes(sources: Sequence[Path], out: Path, options: TrackOptions, *, score: float) -> None:
    """Write the objects of all clips above a score, with their tracks, as one COCO file, which `ingest` reads."""
    tracked = [tracks.with_tracks(one.above(score), options) for one in labels.read_all(sources)]
    _write(out, tracked, "boxes", {**options.model_dump(), "score": score})


def evaluate_rounds(
    rounds: Mapping[str, Sequence[Path]],
    truth: Path,
    out: Path,
    options: Evaluated,
    summary: Path | None = None,
) -> str:
    """Write `rounds.csv`, `ap.csv` and the page to folder `out`, and the summary; return recall per round as text.

    The summary goes to `summary`, or into `out` if none is given. Recall, precision and the page use the objects of the
    last round above a score; AP uses those above `evaluate.AP_FROM`.
    """
    if not (of_clips := sorted(truth.glob("*.json"))):
        raise UsageError(
            f"{truth}: holds no .json file; --truth is a folder of COCO files like those of `secondlook video draw`."
        )
    reference = evaluate.mobile_only(labels.read_all(of_clips), options.categories)
    by_name = {name: options.clips_of(labels.read_all(paths)) for name, paths in rounds.items()}
    last = list(by_name)[-1]
    precision = evaluate.average_precision(by_name[last], reference)
    by_name[last] = [one.above(options.score) for one in by_name[last]]
    by_round = evaluate.of_rounds(by_name, reference)
    if by_round.empty:
        raise DataError(f"{truth}: has no object in the evaluated frames, so nothing can be compared; add the objects.")
    files.write_text(out / "rounds.csv", tabular.to_csv(by_round))
    files.write_text(out / "ap.csv", tabular.to_csv(precision))
    write_page(out / "video.html", by_round, precision, by_name[last], held_out=options.held_out)
    recall = by_round.pivot_table(index="round", columns="kind", values="recall", sort=False)
    figures = {
        "clips": len(by_name[last]),
        "held_out": options.held_out,
        "frames": sum(len(one.frames) for one in by_name[last]),
        "boxes": sum(len(row) for one in by_name[last] for row in one.found),
        "recall": {str(name): _figures(row) for name, row in recall.iterrows()},
        "precision": _figures(by_round.groupby("round", sort=False)["precision"].first()),
        "ap": {of: _ap_figures(rows) for of, rows in precision.groupby("of", sort=False)},
    }
    files.write_text(summary or out / "summary.json", json.dumps(figures, indent=2) + "\n")
    return _as_text(by_round)


def _write(out: Path, clips: Sequence[ClipLabels], step: str, options: Mapping[str, Any]) -> None:
    labels.write(out, clips, {"step": step, "options": options})
    objects = sum(len(row) for one in clips for row in one.found)
    progress.say(f"video: {objects} objects in {sum(len(one.frames) for one in clips)} frames")


def _ap_figures(rows: pd.DataFrame) -> dict[str, float]:
    """Return AP and AR of boxes or of masks; those of some objects have their kind in the name: `AP_small`."""
    by_kind = rows.set_index("objects")
    figures = by_kind.loc["all", list(evaluate.FIGURES)].to_dict()
    for name, figure in (("AP", "AP"), ("AR", "AR100")):
        figures |= {f"{name}_{kind}": value for kind, value in by_kind[figure].items() if kind != "all"}
    return _figures(pd.Series(figures))


def _figures(values: pd.Series) -> dict[str, float]:
    return {str(name): round(float(value), 4) for name, value in values.dropna().items()}


def _as_text(by_round: pd.DataFrame) -> str:
    lines = [
        f"{'labels of round':<16}{'boxes':>7}{'precision':>11}" + "".join(f"{kind:>10}" for kind in evaluate.KINDS)
    ]
    for name, rows in by_round.groupby("round", sort=False):
        recall = dict(zip(rows["kind"], rows["recall"], strict=True))
        first = rows.iloc[0]
        cells = "".join(f"{recall[kind]:>10.3f}" if kind in recall else f"{'-':>10}" for kind in evaluate.KINDS)
        lines.append(f"{name:<16}{first['boxes']:>7}{first['precision']:>11.3f}{cells}")
    return "\n".join([*lines, "recall by kind of object, at a mask IoU of 0.5"])
