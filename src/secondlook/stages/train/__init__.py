"""Stage `train`: reference crops become a classifier, kept as a folder that timm can load."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.models import ClassifierOptions, VlmTrainingOptions
from secondlook.io import events, files, records, tensorfile
from secondlook.io.outputs import CLASSIFIER_FILES
from secondlook.jobs import cache, distributed
from secondlook.jobs.distributed import Workers
from secondlook.jobs.resume import Resume, forget
from secondlook.models import inference
from secondlook.models.checkpoints import create_timm, folder_arguments, revision_of_timm, timm_input
from secondlook.stages.train.data import Squares, decode_all, load_reference, missing_classes, split_by_group
from secondlook.stages.train.loop import Epoch, Split, Trainer, say_best
from secondlook.stats.crossfit import folds

if TYPE_CHECKING:
    import torch

Row = dict[str, Any]
_OF_FOLDS = ("out_of_sample.csv", "label_errors.csv")


def train_classifier(crops: Path, out: Path, options: ClassifierOptions, *, threads: int = 1) -> None:
    """Train on reference crops; write the weights and the training record, `CLASSIFIER_FILES`, to folder `out`.

    With several GPUs, one process per GPU computes part of every batch. A killed training resumes after its last epoch.
    """
    taxonomy = records.taxonomy_of(crops)
    rows = load_reference(crops, taxonomy)
    outputs = [out / name for name in (*CLASSIFIER_FILES, *(_OF_FOLDS if options.folds else ()))]
    settings = {"training": options.model_dump(exclude={"device", "resources"}), "threads": threads}
    settings |= {"classes": taxonomy.classes, "revision": revision_of_timm(options.model)}
    settings |= {"computes_in": inference.numbers_of(options.precision, options.device)}
    key = cache.key_of(settings, crops, code=__name__)
    if not distributed.is_inside():
        if cache.restore(outputs, key):
            events.write(out)
            return
        device = inference.pick_device(options.device)
        if (count := distributed.wanted(options.processes, device, most=options.batch_size // 2)) > 1:
            arguments = ["--out", str(out), "--options", options.model_dump_json(), "--threads", str(threads)]
            distributed.start(count, ["train", str(crops), *arguments])
            return
    course = Course.of(rows, taxonomy, options, threads)
    course.learn(out, key)
    if course.workers.rank == 0:
        cache.store(outputs, key)
        forget(out)
    distributed.leave(course.workers)


@dataclass
class Course:
    """What all trainings on one reference share: the main one and those that leave out a fold."""

    rows: list[Row]
    crops: Squares
    taxonomy: Taxonomy
    options: ClassifierOptions
    threads: int
    workers: Workers
    device: "torch.device"

    @classmethod
    def of(cls, rows: list[Row], taxonomy: Taxonomy, options: ClassifierOptions, threads: int) -> "Course":
        """Decode the crops and find the device."""
        inference.make_deterministic(options.seed, threads)
        members, device = distributed.join(inference.pick_device(options.device))
        if members.rank == 0 and (missing := missing_classes(rows, taxonomy)):
            progress.say(f"train: no reference crops of {', '.join(missing)}; this classifier will never name them")
        crops = decode_all(rows, options.input_px, taxonomy, threads=threads)
        return cls(rows, crops, taxonomy, options, threads, members, device)

    def learn(self, out: Path, key: str) -> None:
        """Train, and write the result to folder `out`."""
        split = self._split(np.arange(len(self.rows)))

        def after_epoch(epochs: Sequence[Epoch]) -> None:
            events.write_metrics(out, metrics_csv(epochs))

        trainer = self.trainer()
        best, history = trainer.fit(self.crops, split, Resume(out, key), after_epoch)
        trainer.model.load_state_dict(best)
        scored_on = split[1] if len(split[1]) else split[0]
        named = trainer.log_probabilities(self.crops, scored_on).argmax(axis=1)
        if self.workers.rank == 0:
            self._write(out, trainer, best, history, named, scored_on, split)
        if self.options.folds:
            self._leave_out_folds(out, key)
        if self.workers.rank == 0:
            say_best(history, len(split[0]), len(split[1]))

    def _write(
        self,
        out: Path,
        trainer: Trainer,
        best: Mapping[str, "torch.Tensor"],
        history: Sequence[Epoch],
        named: NDArray[np.int64],
        scored_on: NDArray[np.int64],
        split: Split,
    ) -> None:
        from secondlook.io import tabular
        from secondlook.stages.train import curves

        classes = self.taxonomy.classes
        table = curves.confusion(named, self.crops.target[scored_on], classes)
        events.write_metrics(out, metrics_csv(history))
        files.write_text(out / "curve.svg", curves.curve(history))
        files.write_text(out / "confusion.csv", tabular.to_csv(table))
        files.write_text(out / "confusion.svg", curves.confusion_plot(table, classes))
        files.write_text(out / "config.json", timm_config(trainer.model, self.options, trainer.mean, trainer.std))
        weights = out / "model.safetensors"
        tensorfile.write(weights, best)
        about = {"classes": list(classes), "input_px": self.options.input_px, "sha256": files.sha256(weights)}
        if missing := missing_classes(self.rows, self.taxonomy):
            about["never_seen"] = missing
        files.write_text(out / "labels.json", labels_json(about, self.options, *map(len, split)))

    def _leave_out_folds(self, out: Path, key: str) -> None:
        """Write the predictions on crops of groups that the models have not seen, and which labels look wrong."""
        import pandas as pd

        from secondlook.stages.train.out_of_sample import label_errors_csv, out_of_sample_csv

        groups = np.unique([row["group"] for row in self.rows], return_inverse=True)[1]
        parts = folds(groups, self.options.seed, self.options.folds)
        probabilities = np.zeros((len(self.rows), len(self.taxonomy.classes)))
        for number, part in enumerate(parts):
            trainer = self.trainer()
            resume = Resume(out, key, f"fold{number}")
            best, _ = trainer.fit(self.crops, self._split(np.flatnonzero(~part)), resume)
            trainer.model.load_state_dict(best)
            probabilities[part] = np.exp(trainer.log_probabilities(self.crops, np.flatnonzero(part)))
        if self.workers.rank == 0:
            about = pd.DataFrame(self.rows, columns=["instance_id", "source", "reference_label"])
            classes = self.taxonomy.classes
            files.write_text(out / _OF_FOLDS[0], out_of_sample_csv(about, probabilities, classes))
            files.write_text(out / _OF_FOLDS[1], label_errors_csv(about, probabilities, classes))

    def _split(self, chosen: NDArray[np.int64]) -> Split:
        """Split the rows `chosen` into training and validation."""
        training, validation = split_by_group([self.rows[row] for row in chosen], self.options)
        return chosen[training], chosen[np.array(validation, dtype=np.int64)]

    def trainer(self) -> Trainer:
        """Return an untrained model, ready to learn."""
        import torch

        torch.manual_seed(self.options.seed)
        options, classes = self.options, len(self.taxonomy.classes)
        model = create_timm(options.model, pretrained=options.pretrained, classes=classes)
        fits_input(model, options.input_px)
        model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        _, mean, std = timm_input(model)
        return Trainer(model, options, self.device, mean, std, classes, self.threads, self.workers)


def fits_input(model: Any, input_px: int) -> None:
    """Set the input size of transformers, whose positions depend on it; other models take any size."""
    if hasattr(model, "set_input_size"):
        model.set_input_size((input_px, input_px))


def metrics_csv(history: Sequence[Epoch]) -> str:
    """Return one line per epoch."""
    names = [field.name for field in fields(Epoch)]
    lines = [",".join(names)]
    for epoch in history:
        values = asdict(epoch)
        lines.append(",".join(f"{values[name]:.6g}" for name in names))
    return "\n".join(lines) + "\n"


def labels_json(
    about: Mapping[str, Any], options: ClassifierOptions | VlmTrainingOptions, training: int, validation: int
) -> str:
    """Return the labels.json of a model: its classes, in the order of its outputs, and how it was trained."""
    content = {
        **about,
        "trained_on": training,
        "validated_on": validation,
        "options": options.model_dump(exclude={"device", "resources", "strict_ids"}),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def timm_config(
    model: "torch.nn.Module", options: ClassifierOptions, mean: tuple[float, ...], std: tuple[float, ...]
) -> str:
    """Return the `config.json` with which `timm.create_model("local-dir:...")` finds architecture and input."""
    data = {
        "input_size": [3, options.input_px, options.input_px],
        "mean": list(mean),
        "std": list(std),
        "interpolation": "bicubic",
        "crop_pct": 1.0,
    }
    previous = getattr(model, "pretrained_cfg", {})
    head = {key: previous[key] for key in ("first_conv", "classifier", "pool_size") if previous.get(key)}
    architecture = previous.get("architecture", options.model)
    num_classes = getattr(model, "num_classes", 0)
    size = {"img_size": options.input_px} if hasattr(model, "set_input_size") else {}
    content = {
        "architecture": architecture,
        "num_classes": num_classes,
        "model_args": {**folder_arguments(options.model), **size},
        "pretrained_cfg": {**data, **head, "num_classes": num_classes},
    }
    return json.dumps(content, indent=2) + "\n"
