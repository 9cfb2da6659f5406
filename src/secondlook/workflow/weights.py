"""Checkpoints that a run needs: those of the Hub are downloaded before a job needs them, files are looked for."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.labelers.base import Checkpoint, Labeler
from secondlook.config.models import EncoderOptions
from secondlook.models import hub
from secondlook.models.checkpoints import create_open_clip, create_timm, fetch_hint, load_errors
from secondlook.models.native import native_of, require_known_code
from secondlook.workflow.pipeline import Pipeline
from secondlook.workflow.plan import choose
from secondlook.workflow.run import Run
from secondlook.workflow.vlm_ids import NamedVlm, vlms_of

# the same weights in the formats of other libraries, which are not used here
_FOREIGN = ["*.h5", "*.msgpack", "*.onnx", "*.gguf", "*.ot", "*.pt", "*.pth", "*.ckpt", "original/*", "onnx/*"]
_MODEL_FILES = {".onnx", ".pt", ".pth", ".safetensors"}
_READ_TEXT = {"clip_zeroshot", "attribute_completion"}
_LOCAL = "local-dir:"  # before a path, for timm and open_clip
_ADDRESS = re.compile(r"\Ahttps?://(huggingface\.co/)?")


def fetch_weights(run: Run, names: Sequence[str] = (), pipelines: Sequence[Pipeline] = ()) -> None:
    """Download every checkpoint that tasks and pipelines by name need; without names, those of the tasks of the run.

    Raises DataError with a line for each that failed.
    """
    by_name = {pipeline.name: pipeline for pipeline in pipelines}
    tasks = choose(run, [name for name in names if name not in by_name], by_name).names if names else run.names
    checkpoints = [one for task in tasks for one in checkpoints_of(run, task)]
    checkpoints += [one for name in names if name in by_name for one in by_name[name].checkpoints(run)]
    wanted = list(dict.fromkeys(checkpoints))
    complaints = []
    for checkpoint in wanted:
        try:
            _DOWNLOAD[checkpoint.library](checkpoint)
        except DataError as error:
            complaints.append(str(error))
        else:
            used_for = f"; it is used for {checkpoint.named}" if checkpoint.named else ""
            progress.say(f"fetch: {checkpoint.name} is in the cache{used_for}")
    progress.say(f"fetch: {len(wanted) - len(complaints)} checkpoints ready, {len(complaints)} failed")
    if complaints:
        raise DataError("\n".join(complaints))


def checkpoints_of(run: Run, task: str) -> Iterator[Checkpoint]:
    """Yield what the jobs of a task load from the Hub: nothing that is in a folder, or behind a server elsewhere."""
    config, labelers = run.config_of(task), run.labelers_of(task)
    trained = labelers.trained()
    checkpoints = [
        *(_of_encoder(config.encoders[name]) for name in labelers.encoders()),
        *(labelers[name].checkpoint for name in labelers.names if labelers[name].prompt_view is None),
        *(one for name in labelers.names if (one := labelers[name].checkpoint) and one.library == "server"),
        *(_of_vlm(vlm) for vlm in vlms_of(config, labelers.names)),
        *(Checkpoint("timm", spec.model) for name, spec in config.classifiers.items()
          if name in trained and spec.pretrained),
    ]  # fmt: skip
    if labelers.show_cutouts():
        checkpoints.append(Checkpoint("transformers", config.cutout.segmenter, config.cutout.revision))
    yield from (one for one in checkpoints if one is not None and not _is_here(one.name))


def absent(run: Run, task: str) -> Iterator[tuple[str, str]]:
    """Yield each file, folder or address that a model of a task is to be read from and is not, with the way out."""
    for model in models_of_task(run, task):
        if model.library == "server":
            continue
        if (id_or_name := _ADDRESS.sub("", model.name)) != model.name:
            yield model.name, f"`{model.key}` takes no address; name the checkpoint, `{id_or_name}`"
        elif (model.is_file or is_path(model.name)) and not Path(model.name).exists():
            yield model.name, f"put the model there, or correct `{model.key}`"


@dataclass(frozen=True)
class LocalModel:
    """A model that a task names, by a key of the config, and what loads it from the disk where it is there.

    `is_file`: it can only be a file. `with_weights`: the weights are loaded, not only the architecture. `beside` is the
    file that names its outputs, `architecture` the network of timm that a file of weights is for. `answers`: it gets
    prompts as they are. `reads_text`: it embeds sentences too.
    """

    key: str
    name: str
    library: str
    is_file: bool = False
    with_weights: bool = True
    beside: str | None = None
    architecture: str | None = None
    answers: bool = False
    reads_text: bool = False


def models_of_task(run: Run, task: str) -> Iterator[LocalModel]:
    """Yield the models that a task names: of the Hub, in folders, and in files."""
    config, labelers = run.config_of(task), run.labelers_of(task)
    reading = {labelers.encoder(name) for name in labelers.names if labelers[name].kind in _READ_TEXT}
    for name in labelers.names:
        yield from _models_of_labeler(f"labelers.{name}", labelers[name])
    for name in labelers.encoders():
        encoder = config.encoders[name]
        if encoder.model is not None:
            model, is_file = encoder.model.removeprefix(_LOCAL), encoder.kind == "onnx"
            yield LocalModel(f"encoders.{name}.model", model, encoder.kind, is_file, reads_text=name in reading)
    for name in sorted(labelers.trained()):
        if name in config.classifiers:
            training = config.classifiers[name]
            model = training.model.removeprefix(_LOCAL)
            yield LocalModel(f"classifiers.{name}.model", model, "timm", with_weights=training.pretrained)
        elif name in config.vlms and (vlm := config.vlms[name].model) is not None:
            yield LocalModel(f"vlms.{name}.model", vlm, "vlm")
    if labelers.show_cutouts():
        yield LocalModel("cutout.segmenter", config.cutout.segmenter, "segmenter")


def _models_of_labeler(key: str, spec: Labeler) -> Iterator[LocalModel]:
    if spec.made_elsewhere:
        beside, architecture = spec.beside, spec.loads
        yield LocalModel(key, spec.made_elsewhere, "classifier", is_file=True, beside=beside, architecture=architecture)
    if spec.beside:
        yield LocalModel(key, spec.beside, "mapping", is_file=True)
    if spec.checkpoint is not None:
        library = "server" if spec.checkpoint.library == "server" else "vlm"
        yield LocalModel(f"{key}.model", spec.checkpoint.name, library, answers=library == "vlm")


def is_path(name: str) -> bool:
    """Return whether a name is no Hub id but a file or folder, as one in a folder that is there."""
    path = Path(name)
    in_folder = path.parent != Path() and path.parent.is_dir()
    return in_folder or path.suffix in _MODEL_FILES or name.startswith((".", "/", "~"))


def _is_here(name: str) -> bool:
    return name.startswith(_LOCAL) or Path(name).exists()


def _of_vlm(vlm: NamedVlm) -> Checkpoint:
    """Return the checkpoint that is loaded for a VLM."""
    native = native_of(vlm.model)
    return Checkpoint("transformers", native, vlm.revision, None if native == vlm.model else vlm.model)


def _of_encoder(encoder: EncoderOptions) -> Checkpoint | None:
    if encoder.model is None or encoder.kind == "onnx":
        return None
    return Checkpoint(encoder.kind, encoder.model, encoder.revision)


def _download_for_transformers(checkpoint: Checkpoint) -> None:
    require_known_code(checkpoint.name)
    _download_snapshot(checkpoint)


def _download_snapshot(checkpoint: Checkpoint) -> None:
    """Download the files without loading them: a login node need not hold a model of 14 billion weights."""
    from huggingface_hub import list_repo_files, snapshot_download

    name, revision = checkpoint.name, checkpoint.revision
    hub.rely_on_cache(name, revision)
    if hub.is_offline():  # the cache is all that there is, and it holds this checkpoint
        return
    try:
        listed = list_repo_files(name, revision=revision)
        has_safetensors = any(file.endswith(".safetensors") for file in listed)
        foreign = [*_FOREIGN, *(["*.bin"] if has_safetensors else [])]
        snapshot_download(name, revision=revision, ignore_patterns=foreign)
    except load_errors() as error:
        raise DataError(fetch_hint(name, error)) from error


def _download_timm(checkpoint: Checkpoint) -> None:
    create_timm(checkpoint.name, pretrained=True, classes=0)


def _download_open_clip(checkpoint: Checkpoint) -> None:
    create_open_clip(checkpoint.name, None)


_DOWNLOAD: dict[str, Callable[[Checkpoint], None]] = {
    "transformers": _download_for_transformers,
    "server": _download_snapshot,
    "timm": _download_timm,
    "open_clip": _download_open_clip,
}
