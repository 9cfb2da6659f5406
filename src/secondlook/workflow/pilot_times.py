"""What `snakemake pilot` measured, as the minutes of a job of the real run."""

import glob
from collections.abc import Iterator
from pathlib import Path

from secondlook.config.labelers import LEARNERS
from secondlook.config.root import as_options
from secondlook.io.trials import PILOT, SAMPLE, Trial, read_sample, read_trial
from secondlook.workflow.run import Run

_STEPS = {"crop": "crop", "cutout": "cutout", "embed": "embed/{}", "label": "label/{}"}  # on the sample, by rule
# in full: the same jobs as those of the real run, out of fold one for each fold; what learns there from the vectors of
# the sample (`train_probe_5_folds`) is another job
_IN_FULL = {
    **dict.fromkeys(("train", "train_vlm", *(f"train_{kind}" for kind in LEARNERS)), "train/{}.json"),
    **dict.fromkeys(("train_fold", "train_vlm_fold"), "train/{}/*.json"),
    **dict.fromkeys(("embed_reference", "embed_import"), "embed_reference/{}.json"),
    "cutout_reference": "cutout_reference.json",
}


def minutes_by_pilot(run: Run, task: str, rule: str, model: str, *, objects: int) -> float | None:
    """Return the minutes of a job of a rule on its part of `objects`; None where no pilot tried the same there."""
    folder = Path(run.config.results) / PILOT / task
    if is_in_full(rule):
        seconds = [*_seconds_in_full(run, task, rule, model, folder / "trials")]
        return sum(seconds) / len(seconds) / 60 if seconds else None
    path = folder / "trials" / f"{_STEPS.get(rule, '(none)').format(model)}.json"
    if not path.is_file():
        return None
    trial, sample = read_trial(path), read_sample(folder / SAMPLE)
    if trial.pace is None or not _is_as_now(run, task, rule, model, trial):
        return None
    units = sample.total(trial.pace.unit) * objects / sample.of_objects
    shards = run.files.shards(task)
    return trial.pace.seconds(units / shards.parts, shards.per_job) / 60


def is_in_full(rule: str) -> bool:
    """Whether the pilot does the job of a rule as the real run does, which then finds the results in the cache."""
    return rule in _IN_FULL


def _seconds_in_full(run: Run, task: str, rule: str, model: str, folder: Path) -> Iterator[float]:
    """Yield the seconds of each trial that did the whole job."""
    for path in sorted(folder.glob(_IN_FULL[rule].format(glob.escape(model)))):
        trial = read_trial(path)
        if not trial.cached and _is_as_now(run, task, rule, model, trial):
            yield trial.seconds


def _is_as_now(run: Run, task: str, rule: str, model: str, trial: Trial) -> bool:
    """Whether a step did well with the options that it has now."""
    return trial.sentence is None and _options(run, task, rule, model) in trial.command


def _options(run: Run, task: str, rule: str, model: str) -> str:
    """Return the options with which the pilot must have tried a step for its figures to be those of the config."""
    config = run.config_of(task)
    if rule in {"crop", "cutout", "cutout_reference"}:
        return as_options(config.cutout if rule != "crop" else config.crop)
    if rule in {"train", "train_fold"}:
        return as_options(config.classifiers[model])
    if rule in {"train_vlm", "train_vlm_fold"}:
        return as_options(config.vlms[model])
    if not rule.startswith("embed"):
        return as_options(config.labelers[model])
    encoder = config.encoders[model]
    if encoder.trained is not None:
        trained = f"{run.config.results}/{PILOT}/{task}/train/{encoder.trained}"
        encoder = encoder.model_copy(update={"model": trained, "trained": None})
    return as_options(encoder)
