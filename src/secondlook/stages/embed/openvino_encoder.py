"""Any encoder of PyTorch, computed by OpenVINO: several times faster on CPUs for convolutional networks."""

import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base.errors import UsageError
from secondlook.models.checkpoints import missing_package
from secondlook.stages.embed.encoder import Batches, TorchEncoder, encode_tensors

if TYPE_CHECKING:
    import torch


class OpenvinoEncoder:
    """A module converted once; `precision` is that of its arithmetic; its weights stay float32."""

    def __init__(self, encoder: TorchEncoder, precision: "torch.dtype") -> None:
        import torch

        openvino = _import()
        side = encoder.preprocessing.input_px
        example = torch.zeros(2, 3, side, side)
        traced = _traced(encoder.module, example)
        model = openvino.convert_model(traced, example_input=example, input=[-1, 3, side, side])
        hint = "bf16" if precision == torch.bfloat16 else "f32"
        how = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self._compiled = openvino.Core().compile_model(model, "CPU", how)
        self.preprocessing = encoder.preprocessing
        self.revision = encoder.revision

    def __call__(self, batch: "torch.Tensor") -> "torch.Tensor":
        """Return float32 features of a batch."""
        import torch

        return torch.from_numpy(self._compiled([batch.contiguous().numpy()])[0].copy()).float()

    def encode(self, batches: Batches) -> NDArray[np.float32]:
        """Return the features of all batches."""
        import torch

        return encode_tensors(self, self.preprocessing, torch.device("cpu"), batches)


def _traced(module: "torch.nn.Module", example: "torch.Tensor") -> Any:
    """Return the module as a graph; without the fused attention of PyTorch, which OpenVINO does not support."""
    import torch

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing is reported as deprecated, but OpenVINO reads it
            return torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def require_cpu(device: "torch.device") -> None:
    """Raise UsageError for a device that OpenVINO does not use here."""
    if device.type != "cpu":
        raise UsageError("`backend: openvino` computes on CPUs; set `device: cpu`, or `backend: torch`.")


def _import() -> Any:
    # disables its telemetry: without that package it uses a stub that sends nothing
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise missing_package("openvino") from error
    return openvino
