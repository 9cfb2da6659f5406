"""Stage `train`, kind `vlm`: reference crops become a fine-tuned VLM, or LoRA adapters of one."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.base import progress
from secondlook.config.models import VlmTrainingOptions
from secondlook.io import events, files, records
from secondlook.io.outputs import VLM_CHECKPOINT, VLM_FILES
from secondlook.jobs import cache
from secondlook.models import inference, native, vlm
from secondlook.models.checkpoints import known_revision
from secondlook.models.prompt import Prompt, ask, default_prompt
from secondlook.stages.train import labels_json, metrics_csv
from secondlook.stages.train.data import load_reference, missing_classes, split_by_group, take
from secondlook.stages.train.loop import say_best
from secondlook.stages.train.scratch import build
from secondlook.stages.train.vlm_loop import VlmTrainer

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Learner:
    """A model whose trained parameters require a gradient, the type it computes in, and its processor."""

    model: Any
    processor: Any
    device: "torch.device"
    dtype: "torch.dtype"


def train_vlm(crops: Path, out: Path, options: VlmTrainingOptions, prompt: str | None, *, threads: int = 1) -> None:
    """Teach a VLM to answer with the class name; write folder `checkpoint`, labels.json and metrics.csv to `out`.

    The prompt is the one used for scoring: `prompt`, or the default of the view, and the classes of the crops.
    """
    options = _resolved(options)
    taxonomy = records.taxonomy_of(crops)
    rows = load_reference(crops, taxonomy)
    full_prompt = ask(prompt or default_prompt(options.view), taxonomy, "names")
    outputs = [out / name for name in (VLM_CHECKPOINT, *VLM_FILES)]
    if cache.restore(outputs, _key(crops, options, full_prompt, threads)):
        events.write(out)
        return
    if missing := missing_classes(rows, taxonomy):
        progress.say(f"train: no reference crops of {', '.join(missing)}; this VLM is not taught to name them")
    inference.make_deterministic(options.seed, threads)
    learner = _learner(options, full_prompt)
    training, validation = split_by_group(rows, options)
    trainer = VlmTrainer(learner.model, learner.processor, learner.device, learner.dtype, full_prompt, options)
    best, history = trainer.fit(
        take(rows, training, taxonomy),
        take(rows, validation, taxonomy),
        after_epoch=lambda epochs: events.write_metrics(out, metrics_csv(epochs)),
    )
    about = {"classes": list(full_prompt.classes), "prompt": full_prompt.text}
    files.write_text(out / "labels.json", labels_json(about, options, len(training), len(validation)))
    _write_checkpoint(out, learner, best)
    cache.store(outputs, _key(crops, options, full_prompt, threads))  # the commit of a Hub id is available now
    say_best(history, len(training), len(validation))


def _resolved(options: VlmTrainingOptions) -> VlmTrainingOptions:
    """Return the options with the model that is loaded."""
    if options.model is None:
        return options
    model = native.to_load(options.model, revision=options.revision, strict=options.strict_ids)
    if sentence := native.instead_of(options.model):
        progress.say(f"train: {sentence}")
    return options.model_copy(update={"model": model})


def _key(crops: Path, options: VlmTrainingOptions, full_prompt: Prompt, threads: int) -> str:
    """Return the cache key of a training; it includes class names, and all wordings for a new tokenizer."""
    settings = {
        "training": options.model_dump(exclude={"device", "resources", "strict_ids"}),
        "prompt": [full_prompt.text, full_prompt.classes, full_prompt.wordings if options.model is None else ()],
        "threads": threads,
        "revision": known_revision(options.model, options.revision) if options.model else None,
        "computes_in": inference.numbers_of(options.precision, options.device),
    }
    return cache.key_of(settings, crops, code=__name__)


def _learner(options: VlmTrainingOptions, full_prompt: Prompt) -> Learner:
    """Build or load the model; full fine-tuning keeps its weights in float32, whatever type it computes in."""
    import torch

    device = inference.pick_device(options.device)
    if options.model is None:
        model, processor = build(options.scratch, full_prompt, options.seed)
        from_scratch = "float32" if options.precision == "auto" and device.type == "cpu" else options.precision
        return Learner(model.to(device), processor, device, inference.pick_precision(from_scratch, device))
    stored = "float32" if options.method == "full" else options.precision
    loaded = vlm.load(options.model, revision=options.revision, precision=stored, device=options.device)
    torch.manual_seed(options.seed)
    model = loaded.model.requires_grad_(True) if options.method == "full" else _with_adapters(loaded.model, options)
    return Learner(model, loaded.processor, loaded.device, inference.pick_precision(options.precision, device))


def _with_adapters(model: Any, options: VlmTrainingOptions) -> Any:
    """Return the model with adapters on the linear layers of its language model; nothing else is trained."""
    import torch
    from peft import LoraConfig, get_peft_model

    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    inner = sorted({name.rpartition(".")[2] for name in linear if ".language_model." in name})
    config = LoraConfig(
        r=options.lora.rank,
        lora_alpha=options.lora.alpha,  # type: ignore[arg-type]
        lora_dropout=options.lora.dropout,
        target_modules=rf".*\.language_model\..*\.({'|'.join(inner)})",
        revision=options.revision,
    )
    return get_peft_model(model, config)


def _write_checkpoint(out: Path, learner: Learner, best: dict[str, "torch.Tensor"]) -> None:
    """Write the best weights (of adapters: those alone) and the processor as a folder that `label` can load."""
    learner.model.load_state_dict(best, strict=False)
    target = out / VLM_CHECKPOINT
    with files.temporary_folder(out, target.name) as temporary:
        made = temporary / target.name
        learner.model.to(learner.dtype).save_pretrained(made)
        learner.processor.save_pretrained(made)
        for file in made.iterdir():
            file.chmod(made.stat().st_mode & 0o666)  # safetensors lets only the owner read
            files.flush(file)
        shutil.rmtree(target, ignore_errors=True)
        made.replace(target)
