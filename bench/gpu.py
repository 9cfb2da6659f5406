"""What a GPU does: each kind of network at its true size with random weights, for `secondlook plan` and docs/log.md.

`make bench-gpu` takes at most eight minutes and downloads nothing. Each part runs in a process of its own; one that
does not fit into memory or into its time is left out with a sentence, and the others keep their figures. They go into
a file of `bench/results` with the name of the GPU, written anew after each part. `--toy` runs everything in small on a
CPU and writes no such file unless `--out` names a folder.
"""

import argparse
import importlib.metadata
import json
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import common
from secondlook.io import files
from secondlook.workflow.gpu_bench import FOLDER, GpuBench, file_of

PACKAGES = ("secondlook", "torch", "transformers", "timm", "open-clip-torch")
LONGEST_S = {"vlm": 210, "embed": 150, "segment": 100, "retrieve": 100, "search": 60}  # of a part, its start included
WORTH_STARTING_S = 15


def main() -> None:
    """Measure all parts within the budget and print their results; or, in a process of its own, one of them."""
    args = _arguments()
    if args.part:
        Path(args.report).write_text(json.dumps(_part(args.part, toy=args.toy)))
        return
    gpu = "toy" if args.toy else _gpu()
    out = args.out or (None if args.toy else FOLDER)
    found, ends = _empty(gpu), time.monotonic() + args.budget
    for name in args.parts:
        left = ends - time.monotonic()
        _add(found, name, _in_a_process(name, left if args.toy else min(LONGEST_S[name], left), toy=args.toy))
        GpuBench.model_validate(found)  # `plan` can read it
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            files.write_text(out / file_of(gpu), json.dumps(found, indent=1) + "\n")
    _say(found, None if out is None else out / file_of(gpu))
    if found["left_out"] and (args.toy or not found["ratios"]):
        sys.exit("\n".join(f"{name}: {why}" for name, why in found["left_out"].items()))


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        common.skip("there is no GPU here")
    return torch.cuda.get_device_name()


def _part(name: str, *, toy: bool) -> dict[str, Any]:
    """Measure a part; return its figures, or why there are none."""
    import torch

    import gpu_parts

    size = gpu_parts.Size(toy=toy, device=torch.device("cpu" if toy else "cuda"))
    try:
        figures = asdict(gpu_parts.PARTS[name](size))
    except torch.OutOfMemoryError as error:
        return {"left_out": f"does not fit into the memory of the GPU: {str(error).splitlines()[0]}"}
    return {**figures, "peak_gb": 0.0 if toy else torch.cuda.max_memory_allocated() / 1e9}


def _in_a_process(name: str, seconds: float, *, toy: bool) -> dict[str, Any]:
    """Run a part for at most so many seconds; return its figures, or why there are none."""
    if seconds < WORTH_STARTING_S:
        return {"left_out": "no time was left for it"}
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, __file__, "--part", name, "--report", str(report), *(["--toy"] if toy else [])]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
        except subprocess.TimeoutExpired:
            return {"left_out": f"took longer than {seconds:.0f} s and was ended"}
        if done.returncode or not report.is_file():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return {"left_out": f"ended with {done.returncode}: {last}"}
        print(done.stdout, end="", flush=True)
        figures: dict[str, Any] = json.loads(report.read_bytes())
        return figures


def _empty(gpu: str) -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    date = datetime.now(tz=UTC).date().isoformat()
    maps: dict[str, Any] = {name: {} for name in ("others", "peak_gb", "ratios", "left_out")}
    return {"gpu": gpu, "date": date, "versions": versions, "timings": [], **maps}


def _add(found: dict[str, Any], name: str, part: dict[str, Any]) -> None:
    if "left_out" in part:
        found["left_out"][name] = part["left_out"]
        return
    found["timings"] += part["timings"]
    found["others"] |= part["others"]
    found["peak_gb"][name] = round(part["peak_gb"], 2)
    found["ratios"] |= {f"gpu-{ratio} {against}": value for ratio, (value, against) in part["ratios"].items()}


def _say(found: dict[str, Any], path: Path | None) -> None:
    for one in found["timings"]:
        tiles = ", all tiles" if one.get("all_tiles") else ""
        print(f"{one['work']} {one['network']}, {one['precision']}{tiles}: {one['seconds']:.5f} s of each")
    for what, seconds in found["others"].items():
        print(f"{what}: {seconds:.6f} s")
    for name, peak in found["peak_gb"].items():
        print(f"{name}: at most {peak:.1f} GB of GPU memory")
    for name, why in found["left_out"].items():
        print(f"{name}: left out, {why}")
    if path is not None:
        print(f"written to {path}")
    for name, value in found["ratios"].items():
        ratio, _, against = name.partition(" ")
        print(f"result: {ratio} {value:.3f} {against}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", default=list(LONGEST_S), choices=list(LONGEST_S), help="default: all")
    parser.add_argument("--budget", type=float, default=450, help="seconds for all parts together")
    parser.add_argument("--out", type=Path, help="folder of the file; default: bench/results, with --toy none")
    parser.add_argument("--part", choices=list(LONGEST_S), help="measure one part in this process; needs --report")
    parser.add_argument("--report", help="file for the figures of --part")
    return common.arguments(parser, budget=1800.0)


if __name__ == "__main__":
    main()
