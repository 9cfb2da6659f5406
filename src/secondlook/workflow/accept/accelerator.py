"""Is the GPU seen that was asked for, and does bfloat16 compute right?"""

import shutil
import subprocess
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING

from secondlook.workflow.accept.findings import Finding, failure, note, ok, warning

if TYPE_CHECKING:
    import torch

# of a product of bfloat16 factors: rounding of the result alone gives 0.0017
LARGEST_ERROR = 2.0**-8
_SIDE, _SIDE_OF_TIMING = 512, 4096


def look_at_gpus(asked: int | None) -> Iterator[Finding]:
    """Yield which GPUs are there and how well they compute; `asked` is None on a machine without a batch system."""
    import torch

    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    yield _count(asked, seen)
    for number in range(seen):
        of = torch.cuda.get_device_properties(number)
        driver = f", driver {_driver()}" if _driver() else ""
        compute = f"compute capability {of.major}.{of.minor}, CUDA {torch.version.cuda}{driver}"
        yield ok("gpu", f"{of.name}, {of.total_memory / 1e9:.1f} GB memory, {compute}")
        yield _bfloat16(torch.device("cuda", number))
    if not seen and not asked:
        yield _bfloat16(torch.device("cpu"))


def _count(asked: int | None, seen: int) -> Finding:
    if not asked:
        if asked is None and not seen:
            return note("gpu", "torch sees none: models compute on the CPU")
        return note("gpu", f"none was asked for, torch sees {seen or 'none'}") if asked == 0 else ok("gpu", f"{seen}")
    if not seen:
        listed = _smi("--list-gpus")
        says = f"asked for {asked}, torch sees none; nvidia-smi {f'lists {listed}' if listed else 'is not there'}"
        way_out = "ask your admin whether jobs see the GPUs of their node; the torch of .venv must suit the driver"
        return failure("gpu", says, way_out)
    if seen < asked:
        return failure("gpu", f"asked for {asked}, torch sees {seen}", "ask your admin how jobs get several GPUs")
    if seen > asked:
        says = f"asked for {asked}, torch sees {seen}: jobs on a node share its GPUs"
        return warning("gpu", says, "ask your admin about ConstrainDevices in cgroup.conf")
    return ok("gpu", f"asked for {asked}, torch sees {seen}")


def _bfloat16(device: "torch.device") -> Finding:
    """Compare a product with float64 on the CPU, relative to the Frobenius norm."""
    import torch

    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(_SIDE, _SIDE, generator=generator).bfloat16() for _ in range(2))
    exact = left.double() @ right.double()
    computed = (left.to(device) @ right.to(device)).cpu().double()
    error = float(torch.linalg.norm(computed - exact) / torch.linalg.norm(exact))
    says = f"a product in bfloat16 on {device} differs from float64 by {error:.4f} (allowed: {LARGEST_ERROR:.4f})"
    if not error <= LARGEST_ERROR:
        way_out = "set `precision: float32` for encoders and labelers, and tell your admin: this device computes wrong"
        return failure("bfloat16", says, way_out)
    return ok("bfloat16", f"{says}, {_teraflops(device):.2g} TFLOP/s")


def _teraflops(device: "torch.device") -> float:
    import torch

    side = _SIDE_OF_TIMING if device.type == "cuda" else _SIDE
    factor = torch.ones(side, side, dtype=torch.bfloat16, device=device)
    seconds = []
    for _ in range(3):
        start = perf_counter()
        float((factor @ factor)[0, 0])  # waits for the device
        seconds.append(perf_counter() - start)
    return float(2 * side**3 / min(seconds) / 1e12)


def _driver() -> str:
    return _smi("--query-gpu=driver_version", "--format=csv,noheader").partition(";")[0]


def _smi(*arguments: str) -> str:
    """Return the lines that nvidia-smi prints, joined; empty where it is not there."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return "; ".join((done.stdout if done.returncode == 0 else done.stderr).strip().splitlines())
