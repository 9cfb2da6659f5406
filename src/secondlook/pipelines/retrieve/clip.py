"""CLIP models of the open_clip library: built, loaded, used to encode images and texts, and saved."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError, UsageError
from secondlook.config.retrieve import ClipSource, ScratchClip, Transform
from secondlook.io import files, tensorfile
from secondlook.models import inference, training_files, without_compiler
from secondlook.models.checkpoints import create_open_clip, open_clip_source
from secondlook.models.features import to_unit
from secondlook.pipelines.retrieve.transforms import square_of
from secondlook.pixels import images, prefetch

if TYPE_CHECKING:
    import torch

Vectors = NDArray[np.float32]  # (images or texts, dimensions), unit length
WEIGHTS, ABOUT = "open_clip_model.safetensors", "open_clip_config.json"
TEXTS_AT_ONCE = 256
_VOCABULARY = 49408  # pieces of the tokenizer of CLIP
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP


@dataclass
class Clip:
    """A model with its tokenizer, on a device; `about` is its config in the format of open_clip."""

    model: Any
    tokenizer: Any
    about: dict[str, Any]
    device: "torch.device"

    @property
    def px(self) -> int:
        """The side of its images."""
        side = self.model.visual.image_size
        return int(side[0] if isinstance(side, tuple | list) else side)

    @property
    def scale(self) -> float:
        """The factor of cosines before a softmax."""
        return float(self.model.logit_scale.detach().exp())

    def of_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of texts; equal texts are computed once."""
        import torch

        distinct = list(dict.fromkeys(texts))
        parts = []
        self.model.eval()
        with torch.inference_mode():
            for start in range(0, len(distinct), TEXTS_AT_ONCE):
                pieces = self.tokenizer(distinct[start : start + TEXTS_AT_ONCE]).to(self.device)
                parts.append(self.model.encode_text(pieces, normalize=True).float().cpu().numpy())
        vectors = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
        place = {text: number for number, text in enumerate(distinct)}
        return to_unit(vectors)[[place[text] for text in texts]]

    def of_images(
        self, paths: Sequence[Path], transform: Transform, batch: int, *, threads: int = 1, mirrored: bool = False
    ) -> Vectors:
        """Return unit vectors of image files, or of their mirror images if `mirrored`."""
        import torch

        def prepared(path: Path) -> Pixels:
            image = square_of(read(path), self.px, transform)
            return image[:, ::-1] if mirrored else image

        starts = range(0, len(paths), batch)
        squares = prefetch.ordered(prepared, paths, threads=threads)
        parts = []
        self.model.eval()
        with torch.inference_mode():
            for start in progress.track(starts, total=len(starts), what="batches of images"):
                pixels = np.stack([next(squares) for _ in paths[start : start + batch]])
                parts.append(self.model.encode_image(self.normalised(pixels), normalize=True).float().cpu().numpy())
        return to_unit(np.concatenate(parts)) if parts else np.zeros((0, 1), np.float32)

    def normalised(self, pixels: NDArray[np.uint8]) -> "torch.Tensor":
        """Convert uint8 (n, px, px, 3) to the normalised input of the model, (n, 3, px, px)."""
        transform = self.about["preprocess_cfg"]
        return inference.to_normalised(pixels, tuple(transform["mean"]), tuple(transform["std"]), self.device)


def read(path: Path) -> Pixels:
    """Decode an image; raise DataError if that fails."""
    try:
        return images.read_rgb(path)
    except images.UnreadableImageError as error:
        raise DataError(f"{path}: {error}; remove its row from the label file, or replace the image.") from error


def load(source: ClipSource, transform: Transform, device: "torch.device", seed: int = 0) -> Clip:
    """Return the model that `source` names, in float32, with the mean and deviation of `transform`.

    Raises UsageError for a `trained` source: replace it with the folder of that recipe first.
    """
    clip = _loaded(source, device, seed)
    for name, value in (("mean", transform.mean), ("std", transform.std)):
        if value is not None:
            clip.about["preprocess_cfg"] = {**clip.about["preprocess_cfg"], name: list(value)}
    return clip


def _loaded(source: ClipSource, device: "torch.device", seed: int) -> Clip:
    open_clip = without_compiler.load("open_clip")
    if source.trained is not None:
        raise UsageError(
            f"`trained: {source.trained}` works only under Snakemake; give `source: {{model: FOLDER}}` or --weights."
        )
    if source.scratch is not None:
        return _built(source.scratch, device, seed)
    name = architecture_of(source)
    model = training_files.create(Path(str(source.model)), name) if is_file(source) else create_open_clip(name, None)
    model = model.to(device)
    return Clip(model, open_clip.get_tokenizer(open_clip_source(name)), _about(model, name), device)


def is_file(source: ClipSource) -> bool:
    """Whether a source is a file of open_clip's training; raises UsageError for one without its architecture."""
    if Path(str(source.model)).is_dir() and source.architecture is not None:
        raise UsageError(
            f"{source.model}: a folder says what model it is; remove `architecture: {source.architecture}`."
        )
    if Path(str(source.model)).is_file() and source.architecture is None:
        raise UsageError(
            f"{source.model}: a file of weights does not say what model it is; give `architecture` beside `model`, "
            "the `--model` of its training (`params.txt` of open_clip names it)."
        )
    return source.architecture is not None


def architecture_of(source: ClipSource) -> str:
    """Return the name by which open_clip knows the model of a source, without its weights where they are a file."""
    return str(source.architecture if is_file(source) else source.model)


def with_weights(source: ClipSource, weights: Path) -> ClipSource:
    """Return the source of weights: a folder, or a file of open_clip's training with the architecture of `source`."""
    if not weights.is_file():
        return ClipSource(model=str(weights))
    if source.model is None:
        raise UsageError(
            f"{weights}: a file of weights needs a recipe that names its architecture; "
            "give `source: {model: FILE, architecture: NAME}`."
        )
    name = architecture_of(source)
    plain = name if Path(name).is_dir() or ":" in name else name.partition("/")[0]
    return ClipSource(model=str(weights), architecture=plain)


def _about(model: Any, name: str) -> dict[str, Any]:
    """Return the config of a model in the format of open_clip."""
    folder = Path(name)
    if folder.is_dir():
        return dict(json.loads((folder / ABOUT).read_bytes()))
    transform = {"mean": list(model.visual.image_mean), "std": list(model.visual.image_std)}
    config = without_compiler.load("open_clip").get_model_config(open_clip_source(name))
    return {"model_cfg": config, "preprocess_cfg": transform}


def _built(sizes: ScratchClip, device: "torch.device", seed: int) -> Clip:
    import torch

    open_clip = without_compiler.load("open_clip")
    torch.manual_seed(seed)
    vision = {"layers": list(sizes.layers), "width": sizes.width, "head_width": sizes.width, "image_size": sizes.px}
    text = {
        "context_length": sizes.context,
        "vocab_size": _VOCABULARY,
        "width": sizes.text_width,
        "heads": sizes.text_heads,
        "layers": sizes.text_layers,
    }
    about = {
        "model_cfg": {"embed_dim": sizes.dimensions, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": list(_MEAN), "std": list(_STD)},
    }
    model = open_clip.CLIP(sizes.dimensions, {**vision, "layers": tuple(sizes.layers)}, dict(text))
    return Clip(model.to(device), open_clip.SimpleTokenizer(context_length=sizes.context), about, device)


def save(clip: Clip, weights: dict[str, "torch.Tensor"], folder: Path) -> None:
    """Write a model as a folder that open_clip reads as `local-dir:`; the config is written last."""
    tensorfile.write(folder / WEIGHTS, weights)
    files.write_text(folder / ABOUT, json.dumps(clip.about, indent=1, sort_keys=True) + "\n")


@dataclass(frozen=True)
class Gallery:
    """Images by name with their vectors (images, dimensions), and those of their mirror images, if there are any."""

    names: list[str]
    vectors: Vectors
    mirrored: Vectors | None = None

    def named(self, places: NDArray[np.int64]) -> list[list[str]]:
        """Convert lists of positions, (queries, images), to names."""
        return [[self.names[place] for place in row] for row in places]

    def write(self, path: Path) -> None:
        """Write the vectors as float16."""
        tensors = {"vectors": self.vectors.astype(np.float16)}
        if self.mirrored is not None:
            tensors["mirrored"] = self.mirrored.astype(np.float16)
        tensorfile.write(path, tensors, {"names": json.dumps(self.names)})

    @classmethod
    def read(cls, path: Path) -> "Gallery":
        """Read what `write` wrote; raise DataError for any other file."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
                names = json.loads(file.metadata()["names"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: holds no vectors of images ({error}); run `encode` again.") from error
        mirrored = to_unit(tensors["mirrored"]) if "mirrored" in tensors else None
        return cls(names, to_unit(tensors["vectors"]), mirrored)
