"""What the files of a checkpoint are, by their names and beginnings: whether a library can load them at all."""

import ast
import json
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from secondlook.workflow.weights import LocalModel

_WEIGHTS = (".safetensors", ".bin", ".pth", ".pt")
_OF_TRANSFORMERS = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "spiece.model")
_PROCESSORS = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
_LONGEST_HEADER = 100_000_000  # bytes; as safetensors allows
_GRAPH = 7  # the field of an ONNX file that holds its network
_OF_TEXT = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"
_OF_IMAGES = ("IMAGE", "IMAGE_CLASSIFICATION", "ZERO_SHOT_IMAGE_CLASSIFICATION", "IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM",
              "MASKED_IMAGE_MODELING", "BACKBONE", "RETRIEVAL", "VISUAL_QUESTION_ANSWERING")  # fmt: skip
_TABLES = {"vlm": "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES", "segmenter": "MODEL_FOR_MASK_GENERATION_MAPPING_NAMES"}
_WHAT = {"vlm": "a VLM", "segmenter": "a segmenter"}


def weights_in(folder: Path) -> list[Path]:
    """Return the files of a folder that are weights by their names."""
    return sorted(path for path in folder.iterdir() if path.suffix in _WEIGHTS)


def fault_of(path: Path, model: LocalModel) -> str:
    """Return what is wrong with a file or folder as a model of its library; empty where nothing is seen.

    Raises OSError where it cannot be read.
    """
    return next(FAULTS[model.library](path, model), "")


def fault_of_weights(folder: Path, *, safetensors: bool = False) -> str:
    """Return what is wrong with the weights of a folder for transformers: absent, cut off, or foreign."""
    return next(_faults_of_weights(folder, safetensors=safetensors), "")


def _faults_of_weights(folder: Path, *, safetensors: bool) -> Iterator[str]:
    names = [name for name in _OF_TRANSFORMERS if name.endswith(".safetensors") or not safetensors]
    files = [folder / name for name in names if (folder / name).is_file()]
    for index in (folder / f"{name}.index.json" for name in names):
        parts = _mapping(index).get("weight_map") if index.is_file() else None
        files += [folder / part for part in sorted({*map(str, parts.values())})] if isinstance(parts, dict) else []
    if not files:
        yield f"holds no weights ({' or '.join(names)}){_instead(folder)}"
    absent = [path.name for path in files if not path.is_file()]
    if absent:
        yield f"lacks {len(absent)} of {len(files)} files of its weights, {absent[0]} among them"
    yield from _faults_of_files(files)


def _faults_of_transformers(path: Path, model: LocalModel) -> Iterator[str]:
    if not path.is_dir():
        yield "is a file, where a folder with config.json and weights is due"
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file() and model.library == "vlm":
        yield from _faults_of_adapters(path)
        return
    if not (path / "config.json").is_file():
        yield f"holds no config.json{_instead(path)}"
    about = _mapping(path / "config.json")
    kind = about.get("model_type")
    if kind is None:
        other = "; it is one of timm (`kind: timm`)" if "architecture" in about else ""
        yield f"its config.json names no `model_type`, as those of transformers do{other}"
    yield from _faults_of_kind(str(kind), model.library)
    if not any((path / name).is_file() for name in _PROCESSORS):
        yield "holds no preprocessor_config.json, which says how images are prepared"
    for name in _PROCESSORS:
        if (path / name).is_file():
            _mapping(path / name)
    if (model.library == "vlm" or model.reads_text) and not any((path / name).is_file() for name in _TOKENIZERS):
        yield "holds no tokenizer" + (", so that it reads no names of classes" if model.reads_text else "")
    if model.answers and not _has_template(path):
        yield "holds no chat template, so that it cannot answer prompts; take an instruction-tuned model"
    yield from _faults_of_weights(path, safetensors=model.library == "vlm")


def _faults_of_kind(kind: str, library: str) -> Iterator[str]:
    known, able = _model_types("CONFIG_MAPPING_NAMES"), _model_types(_TABLES.get(library, ""))
    if known and kind not in known:
        yield f"its `model_type` is `{kind}`, which the installed transformers does not have"
    if library == "transformers" and kind in _model_types(_OF_TEXT) and kind not in _of_images():
        yield f"its `model_type` is `{kind}`, which is that of a language model, and sees no images"
    if able and kind not in able:
        yield f"its `model_type` is `{kind}`, which is not that of {_WHAT[library]}"


def _has_template(path: Path) -> bool:
    """Tell whether a folder says how prompts are written; what is not read here may say so too."""
    files = ("chat_template.jinja", "chat_template.json", "additional_chat_templates", "tekken.json")
    within = (path / name for name in ("tokenizer_config.json", "processor_config.json"))
    return any((path / name).exists() for name in files) or any(
        "chat_template" in _mapping(file) for file in within if file.is_file()
    )


def _faults_of_adapters(path: Path) -> Iterator[str]:
    files = [path / name for name in ("adapter_model.safetensors", "adapter_model.bin") if (path / name).is_file()]
    if not files:
        yield "holds adapters without weights (adapter_model.safetensors)"
    if _mapping(path / "adapter_config.json").get("base_model_name_or_path") is None:
        yield "its adapter_config.json names no base"
    yield from _faults_of_files(files)


def _faults_of_timm(path: Path, model: LocalModel) -> Iterator[str]:
    if not path.is_dir():
        yield "is a file, where a folder with config.json and weights is due"
    if not (path / "config.json").is_file():
        yield f"holds no config.json{_instead(path)}"
    about = _mapping(path / "config.json")
    if "architecture" not in about:
        other = "; it is one of transformers (`kind: transformers`)" if "model_type" in about else ""
        yield f"its config.json names no `architecture`, as those of timm do{other}"
    if not timm_knows(str(about["architecture"])):
        yield f"its architecture is `{about['architecture']}`, which the installed timm does not have"
    if model.with_weights:
        yield from _faults_of_any_weights(path)


def _faults_of_open_clip(path: Path, _: LocalModel) -> Iterator[str]:
    if not path.is_dir():
        yield "is a file, where a folder with open_clip_config.json and weights is due"
    if not (path / "open_clip_config.json").is_file():
        yield f"holds no open_clip_config.json{_instead(path)}"
    if "model_cfg" not in _mapping(path / "open_clip_config.json"):
        yield "its open_clip_config.json describes no model (`model_cfg`)"
    yield from _faults_of_any_weights(path)


def _faults_of_any_weights(folder: Path) -> Iterator[str]:
    files = weights_in(folder)
    if not files:
        yield f"holds no weights{_instead(folder)}"
    yield from _faults_of_files(files)


def _faults_of_onnx(path: Path, _: LocalModel) -> Iterator[str]:
    if not path.is_file():
        yield "is a folder, where an ONNX file is due"
    with path.open("rb") as file:
        if _GRAPH not in _fields(file, path.stat().st_size):
            yield "is no ONNX file"


def _faults_of_classifier(path: Path, model: LocalModel) -> Iterator[str]:
    if path.is_dir():
        if not (path / "labels.json").is_file():
            yield f"holds no labels.json, as a folder of `secondlook train` does{_instead(path)}"
        if not {"classes", "input_px"} <= _mapping(path / "labels.json").keys():
            yield "its labels.json names no `classes` and `input_px`, as that of a classifier does"
        yield from _faults_of_timm(path, model)
        return
    yield from _faults_of_files([path])
    if path.suffix == ".safetensors":
        yield "is a safetensors file, where a .pth file with a state_dict or a folder of `secondlook train` is due"
    if model.architecture and is_unknown_to_timm(model.architecture):
        yield f"its `model` is `{model.architecture}`, which the installed timm does not have"
    if model.beside is None and "class_to_idx" not in _texts(path):
        yield "names no classes (`class_to_idx`); give the `label_mapping.pkl` beside it as `labels`"


def _faults_of_mapping(path: Path, _: LocalModel) -> Iterator[str]:
    with path.open("rb") as file:
        if file.read(1) != b"\x80":
            yield "is no pickled mapping of class names"


def _faults_of_served(path: Path, _: LocalModel) -> Iterator[str]:
    if not path.is_dir() or not any(path.iterdir()):
        yield "is no folder with a model"


FAULTS: Mapping[str, Callable[[Path, LocalModel], Iterator[str]]] = {
    **dict.fromkeys(("transformers", "vlm", "segmenter"), _faults_of_transformers),
    "timm": _faults_of_timm,
    "open_clip": _faults_of_open_clip,
    "onnx": _faults_of_onnx,
    "classifier": _faults_of_classifier,
    "mapping": _faults_of_mapping,
    "server": _faults_of_served,
}


def _faults_of_files(files: Iterable[Path]) -> Iterator[str]:
    return filter(None, map(_fault_of_file, files))


def _fault_of_file(path: Path) -> str:
    """Return what is wrong with one file of weights, by its beginning and its size."""
    if path.suffix == ".safetensors":
        fault = _fault_of_safetensors(path)
        return f"{path.name} {fault}" if fault else ""
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK":
        if not zipfile.is_zipfile(path):
            return f"{path.name} is cut off"
        with zipfile.ZipFile(path) as archive:
            pickled = any(name.endswith("data.pkl") for name in archive.namelist())
        return "" if pickled else f"{path.name} is no checkpoint of PyTorch"
    return "" if start[:1] == b"\x80" else f"{path.name} is no checkpoint of PyTorch"


def _fault_of_safetensors(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 1 < length <= min(_LONGEST_HEADER, size - 8):
            return "is no safetensors file"
        try:
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return "is no safetensors file"
    return "" if 8 + length + max(ends, default=0) <= size else "is cut off"


def _texts(path: Path) -> set[str]:
    """Return the texts in the pickle of a checkpoint, without running it."""
    if not zipfile.is_zipfile(path):
        return {"class_to_idx"}  # an older file, in which texts stand among weights
    with zipfile.ZipFile(path) as archive:
        content = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    try:
        return {str(value) for _, value, _ in pickletools.genops(content) if isinstance(value, str)}
    except ValueError:
        return set()


def _fields(file: BinaryIO, size: int) -> set[int]:
    """Return the numbers of the outer fields of a file of protocol buffers; none where it is not one."""
    fields: set[int] = set()
    while file.tell() < size:
        key = _varint(file)
        step = _length(file, key & 7)
        if not 0 < key >> 3 < 100 or step < 0 or file.tell() + step > size:
            return set()
        file.seek(step, 1)
        fields.add(key >> 3)
    return fields


def _length(file: BinaryIO, wire_type: int) -> int:
    """Return the bytes of the value that follows, below 0 where there is none."""
    match wire_type:
        case 0:
            return min(0, _varint(file))
        case 2:
            return _varint(file)
        case _:
            return {1: 8, 5: 4}.get(wire_type, -1)


def _varint(file: BinaryIO) -> int:
    """Return a number of variable length, -1 where there is none."""
    value = 0
    for place in range(10):
        byte = file.read(1)
        if not byte:
            return -1
        value |= (byte[0] & 0x7F) << (7 * place)
        if byte[0] < 0x80:
            return value
    return -1


def _mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file; raises OSError, with a sentence, where it holds none."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise OSError(f"{path.name} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise OSError(f"{path.name} holds no JSON mapping")
    return content


def _instead(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(names[:4]) + (" and more" if len(names) > 4 else "")
    return f" (it holds {shown})" if names else " (it is empty)"


def is_unknown_to_timm(name: str) -> bool:
    """Tell whether a name is that of no architecture of timm, no address and no folder."""
    return ":" not in name and not Path(name).exists() and not timm_knows(name)


@cache
def timm_knows(name: str) -> bool:
    """Tell whether the installed timm has an architecture, by its source: importing timm takes seconds."""
    base = re.escape(name.partition(".")[0])
    return _timm_has(rf"^def {base}\(|['\"]{base}['\"]\s*:")


@cache
def timm_names(name: str) -> bool:
    """Tell whether the source of the installed timm has an architecture with a tag as a text; it may build others."""
    return _timm_has(rf"['\"]{re.escape(name)}['\"]\s*:")


def _timm_has(pattern: str) -> bool:
    spec = find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return True
    compiled = re.compile(pattern.encode(), re.MULTILINE)
    files = (Path(spec.submodule_search_locations[0]) / "models").rglob("*.py")
    return any(compiled.search(path.read_bytes()) for path in files)


@cache
def _model_types(table: str) -> frozenset[str]:
    """Return the `model_type`s in a table of the installed transformers, by its source; none where it is not found."""
    spec = find_spec("transformers") if table else None
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    folder = Path(spec.submodule_search_locations[0]) / "models" / "auto"
    names = ("auto_mappings.py", "configuration_auto.py") if table == "CONFIG_MAPPING_NAMES" else ("modeling_auto.py",)
    trees = [ast.parse((folder / name).read_bytes()) for name in names if (folder / name).is_file()]
    return frozenset(key for tree in trees for key in _keys(tree, table))


@cache
def _of_images() -> frozenset[str]:
    return frozenset[str]().union(*(_model_types(f"MODEL_FOR_{what}_MAPPING_NAMES") for what in _OF_IMAGES))


def _keys(tree: ast.Module, table: str) -> Iterator[str]:
    """Yield the keys of a table: the first texts of its pairs, and the keys of its dicts, wherever it is filled."""
    for statement in tree.body:
        if table not in {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}:
            continue
        for node in ast.walk(statement):
            pairs = [node.elts[0]] if isinstance(node, ast.Tuple) and len(node.elts) == 2 else []
            keys = [*pairs, *node.keys] if isinstance(node, ast.Dict) else pairs
            yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
