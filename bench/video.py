"""First labels (L0) of drawn clips: their quality, and their speed against the full grid of scikit-learn.

Recall and precision at a mask IoU of 0.5, of all moving things and of people, with motion from the truth and from flow:
with the published settings, with their threshold raised, and with those of config.yaml. The full grid follows the
definition: a sparse matrix of all pixels of a 480x320 frame. `--rounds` runs `snakemake video` of the checkout and
prints recall and precision of each round.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Literal

import pandas as pd

import common
from full_grid import full_grid
from secondlook.config.video import ClipScenes, FrameOptions, GroupOptions, MotionOptions
from secondlook.pipelines.video import evaluate, frames, motion
from secondlook.pipelines.video.drawn import draw_clips
from secondlook.pipelines.video.group import dbscan, group, range_of
from secondlook.pipelines.video.labels import ClipLabels, read_all
from secondlook.pipelines.video.motion import Motion
from secondlook.workflow.config_files import ConfigFiles

AS_PUBLISHED = GroupOptions()
SHIPPED = ConfigFiles((common.ROOT / "config.yaml",)).checked().video.group
SETTINGS: dict[Literal["truth", "flow"], dict[str, GroupOptions]] = {
    "truth": {"published": AS_PUBLISHED, "config.yaml": SHIPPED},
    "flow": {"published": AS_PUBLISHED, "from 0.5": GroupOptions(threshold=0.5), "config.yaml": SHIPPED},
}


def main() -> None:
    """Draw clips, group moving pixels, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--timed", type=int, default=12, help="frames that both ways cluster")
    parser.add_argument("--rounds", action="store_true", help="run all rounds too (several minutes)")
    args = common.arguments(parser, clips=5, timed=2)  # of fewer, no person moves
    standing = [_rounds()] if args.rounds else []
    with tempfile.TemporaryDirectory() as folder:
        clips, truth = Path(folder) / "clips", Path(folder) / "truth"
        draw_clips(clips, truth, ClipScenes(clips=args.clips))
        listed, _ = frames.extract(frames.clips_in(clips, None), Path(folder) / "frames", FrameOptions(stride=1))
        reference = read_all(sorted(truth.glob("*.json")))
        print("motion  settings    moving          people          precision  standing")
        for source, settings in SETTINGS.items():
            options = MotionOptions(source=source, depth="truth")
            moved = [motion.compute(one, options, truth) for one in listed]
            for name, grouped in settings.items():
                print(f"{source:<8}{name:<12}" + _figures(listed, moved, grouped, reference), flush=True)
        ratio, ours = _race(moved, args.timed)
    print(f"a 480x320 frame: {ours:.3f} s in one thread, median of {args.timed} frames")
    print("\n".join(standing), end="\n" if standing else "")
    print(f"result: l0 {ratio:.1f} clustering of a frame against the full grid of scikit-learn")


def _rounds() -> str:
    """Run `snakemake video` on the clips of config.yaml, print the results of each round, and return the result."""
    snakemake = str(Path(sys.executable).parent / "snakemake")
    common.run([snakemake, "video", "--cores", "all", "--quiet", "all"], cwd=common.ROOT)
    table = pd.read_csv(common.ROOT / "results/video/evaluate/rounds.csv")
    print(table.to_string(index=False, float_format="%.3f"))
    standing = table[table["kind"] == "standing"].set_index("round")["recall"]
    first, last = standing.iloc[0], standing.iloc[-1]
    return f"result: standing {last:.3f} recall of standing things in the final round, {first:.3f} in the first labels"


def _figures(listed: list[ClipLabels], moved: list[Motion], options: GroupOptions, reference: list[ClipLabels]) -> str:
    labels = [
        ClipLabels(one.clip, one.frames, group(seen, options, (1.0, 1.0)))
        for one, seen in zip(listed, moved, strict=True)
    ]
    table = evaluate.of_rounds({"moving": labels}, reference).set_index("kind")
    people = evaluate.of_rounds({"moving": labels}, evaluate.mobile_only(reference, ["person"])).set_index("kind")
    found = (table.loc["moving"], people.loc["moving"], table.loc["standing"])
    shown = [f"{row['found']}/{row['n']} = {row['recall']:.3f}" for row in found]
    return f"{shown[0]:<16}{shown[1]:<16}{found[0]['precision']:<11.3f}{shown[2]}"


def _race(moved: list[Motion], count: int) -> tuple[float, float]:
    """Return how many times faster ours is, and its seconds a frame; both sides take turns on the same frames."""
    options, ours, theirs = GroupOptions(threshold=0.5), [], []
    places = [(one, number) for one in moved for number in range(len(one.motion_prob))][:: len(moved) * 6 // count]
    for one, number in places[:count]:
        moving = one.motion_prob[number] > options.threshold
        started = perf_counter()
        fast = dbscan(moving, range_of(one.depth[number], one.inv_K[number]), options)
        between = perf_counter()
        slow = full_grid(moving, range_of(one.depth[number], one.inv_K[number]), options)
        ended = perf_counter()
        assert (fast == slow).all(), "both must agree"
        ours.append(between - started)
        theirs.append(ended - between)
    return median(theirs) / median(ours), median(ours)


if __name__ == "__main__":
    main()
