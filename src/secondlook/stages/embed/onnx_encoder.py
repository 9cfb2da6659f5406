"""Encoders of your own: an ONNX file with one input of pixels."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base.errors import DataError, UsageError
from secondlook.config.models import EncoderOptions
from secondlook.models import inference
from secondlook.models.checkpoints import missing_package, revision_of
from secondlook.stages.embed.encoder import Batches, Preprocessing

_CHANNELS = 3


class OnnxEncoder:
    """An ONNX file, run by onnxruntime; its input is float32, (n, 3, s, s) or (n, s, s, 3).

    The output is `options.output`, or the first one with two axes (for `head`); `mean` pools tokens (n, tokens,
    dimensions) or maps (n, channels, rows, columns).
    """

    def __init__(self, options: EncoderOptions, threads: int) -> None:
        path = Path(str(options.model))
        self._session = _session(path, inference.device_name(options.device), threads)
        self._input = _pixels(self._session.get_inputs(), path)
        self._channels_last = self._input.shape[-1] == _CHANNELS
        self._output = _output(self._session.get_outputs(), options, path)
        self._fixed_batch = self._input.shape[0] if isinstance(self._input.shape[0], int) else None
        side = _side(self._input.shape, options, path)
        self.preprocessing = Preprocessing(side, options.mean or (), options.std or ())
        self.revision = revision_of(str(path))

    def encode(self, batches: Batches) -> NDArray[np.float32]:
        """Return the features of all batches."""
        features = [self._features(pixels) for pixels in batches]
        return np.concatenate(features) if features else np.zeros((0, 1), np.float32)

    def _features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        batch = inference.normalised(pixels, self.preprocessing.mean, self.preprocessing.std)
        ordered = batch if self._channels_last else batch.transpose(0, 3, 1, 2)
        output = np.concatenate([self._run(part) for part in _split(ordered, self._fixed_batch)])[: len(pixels)]
        return _pooled(output.astype(np.float32))

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        output = self._session.run([self._output], {self._input.name: np.ascontiguousarray(pixels)})
        return np.asarray(output[0])


def _session(path: Path, device: str, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_package("onnxruntime") from error
    if not path.is_file():
        raise DataError(f"{path}: no such file; `model` of an encoder of `kind: onnx` is an ONNX file.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads would burn a third
    if b"QuantizeLinear" not in path.read_bytes():
        # only weights are quantised: they become floats once, not at every run, which takes half the time or less
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    wanted = ["CUDAExecutionProvider"] if device == "cuda" else []
    there = [name for name in (*wanted, "CPUExecutionProvider") if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=there)
    except Exception as error:  # it raises a different class for every kind of damage
        raise DataError(f"{path}: is not an ONNX file that can be run ({str(error).splitlines()[0]}).") from error


def _pixels(inputs: list[Any], path: Path) -> Any:
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        raise DataError(f"{path}: an encoder has one input of float32 pixels with four axes; this file has another.")
    if _CHANNELS not in (inputs[0].shape[1], inputs[0].shape[3]):
        raise DataError(f"{path}: its input has no axis of three colours ({inputs[0].shape}).")
    return inputs[0]


def _output(outputs: list[Any], options: EncoderOptions, path: Path) -> str:
    shapes: dict[str, int] = {output.name: len(output.shape) for output in outputs}
    axes = {2} if options.pools == "head" else {3, 4}
    fitting = [name for name, count in shapes.items() if count in axes]
    chosen = [name for name in fitting if options.output in (None, name)]
    if not chosen:
        listed = ", ".join(f"{name} ({count} axes)" for name, count in shapes.items())
        wanted = f"output `{options.output}`" if options.output else "output"
        raise UsageError(f"{path}: has no {wanted} that fits `pooling: {options.pools}`; it has {listed}.")
    return chosen[0]


def _side(shape: list[Any], options: EncoderOptions, path: Path) -> int:
    sides = {side for side in shape[1:] if isinstance(side, int) and side != _CHANNELS}
    fixed = sides.pop() if sides else None
    if fixed is None and options.input_px is None:
        raise UsageError(f"{path}: accepts images of any size; set `input_px`.")
    if fixed is not None and options.input_px not in (None, fixed):
        raise UsageError(f"{path}: accepts images of {fixed} px, not `input_px: {options.input_px}`.")
    return fixed or int(options.input_px or 0)


def _split(pixels: NDArray[np.float32], size: int | None) -> list[NDArray[np.float32]]:
    """Return the batch in parts of the size that a file requires, the last one padded."""
    if size is None:
        return [pixels]
    missing = -len(pixels) % size
    filled = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), pixels.dtype)])
    return np.split(filled, len(filled) // size)


def _pooled(output: NDArray[np.float32]) -> NDArray[np.float32]:
    match output.ndim:
        case 2:
            return output
        case 3:
            return np.asarray(output.mean(axis=1))
        case _:
            return np.asarray(output.mean(axis=(2, 3)))
