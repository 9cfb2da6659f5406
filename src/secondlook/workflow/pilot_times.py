"""What `snakemake pilot` measured, as the minutes of a job of the real run."""

from pathlib import Path

from secondlook.config.root import as_options
from secondlook.io.trials import PILOT, SAMPLE, read_sample, read_trial
from secondlook.workflow.run import Run

_STEPS = {"crop": "crop", "cutout": "cutout", "embed": "embed/{}", "label": "label/{}"}  # by rule; trainings are shared


def minutes_by_pilot(run: Run, task: str, rule: str, model: str, *, objects: int) -> float | None:
    """Return the minutes of a job of a rule on its part of `objects`; None where no pilot tried the same there."""
    folder = Path(run.config.results) / PILOT / task
    path = folder / "trials" / f"{_STEPS.get(rule, '(none)').format(model)}.json"
    if not path.is_file():
        return None
    trial, sample = read_trial(path), read_sample(folder / SAMPLE)
    if trial.pace is None or trial.sentence is not None or _options(run, task, rule, model) not in trial.command:
        return None
    units = sample.total(trial.pace.unit) * objects / sample.of_objects
    shards = run.files.shards
    return trial.pace.seconds(units / shards.parts, shards.per_job) / 60


def _options(run: Run, task: str, rule: str, model: str) -> str:
    """Return the options with which the pilot must have tried a step for its figures to be those of the config."""
    config = run.config_of(task)
    if rule == "label":
        return as_options(config.labelers[model])
    if rule != "embed":
        return as_options(getattr(config, rule))
    encoder = config.encoders[model]
    if encoder.trained is not None:
        trained = f"{run.config.results}/{PILOT}/{task}/train/{encoder.trained}"
        encoder = encoder.model_copy(update={"model": trained, "trained": None})
    return as_options(encoder)
