"""`secondlook check`: is the config sound, which tasks does it name, and what is still missing on disk?"""

from collections.abc import Iterator
from pathlib import Path

from secondlook.base import yamlfile
from secondlook.base.errors import UsageError
from secondlook.config.root import Config
from secondlook.config.task import Task, load_task, task_path
from secondlook.pipelines.retrieve.run import RetrieveRun
from secondlook.pipelines.scenes.run import ScenesRun
from secondlook.workflow.run import DEMO, Run


def check_all(config: Path) -> str:
    """Return what the config describes; raise UsageError with a line per bad key of it and of its task files."""
    complaints: list[str] = []
    parsed = _collect(complaints, config)
    for name in parsed.tasks if parsed else []:
        try:
            load_task(task_path(name))
        except UsageError as error:
            complaints.append(str(error))
    if complaints:
        raise UsageError("\n".join(complaints))
    run = Run.load(config)
    lines = [f"{config}: sound"]
    for name in run.names:
        lines.extend(_describe(run, name, run.tasks[name]))
    return "\n".join(
        [
            *lines,
            *_describe_paper(run),
            *_describe_video(run.config),
            *_describe_retrieve(run.config),
            *_describe_scenes(run.config),
            "`secondlook plan` counts the jobs and says what they cost",
        ]
    )


def _describe_paper(run: Run) -> list[str]:
    if run.paper is None:
        return []
    try:
        paper = run.of_paper()
    except UsageError as error:
        return [f"`snakemake paper` cannot run: {error}"]
    labelers = {labeler for name in paper.names for labeler in paper.tasks[name].labelers}
    absent = {path for name in paper.names for path, _ in _missing(paper, name, paper.tasks[name])}
    data = (
        f"{len(absent)} paths of its data are missing; `snakemake -n paper` names them"
        if absent
        else "its data is there"
    )
    summary = f"`snakemake paper`: {len(paper.names)} tasks, {len(labelers)} labelers; {data}"
    return [summary, *_notes(paper, paper.names[0])]


def _notes(run: Run, task: str) -> list[str]:
    """Return what the config says about labelers of a task, once for those of which it says the same."""
    said: dict[str, list[str]] = {}
    labelers = run.labelers_of(task)
    for labeler in labelers.names:
        if remark := labelers[labeler].remark:
            said.setdefault(remark, []).append(labeler)
    return [f"  {', '.join(labelers)}: {note}" for note, labelers in said.items()]


def _describe_video(config: Config) -> list[str]:
    video = config.video
    if "video" not in config.model_fields_set:
        return []
    if video.scenes is not None:
        return [f"`snakemake video`: draws {video.scenes.clips} clips into {video.clips}"]
    missing = [
        path for path in (video.clips, video.listed, video.truth) if path is not None and not Path(path).exists()
    ]
    what = f"missing: {', '.join(missing)}" if missing else f"clips of {video.clips}"
    return [f"`snakemake video`: {what}"]


def _describe_retrieve(config: Config) -> list[str]:
    options = config.retrieve
    if "retrieve" not in config.model_fields_set:
        return []
    recipes = RetrieveRun.of(options, config.results).recipes  # a recipe that is not sound is told here
    if options.drawn is not None:
        what = f"draws a dataset into {options.data}"
    else:
        missing = [path for path in (options.data, options.truth) if path is not None and not Path(path).exists()]
        what = f"missing: {', '.join(missing)}" if missing else f"the dataset in {options.data}"
    return [
        f"`snakemake retrieve`: {what}; {len(options.recipes)} recipes, {len(recipes) - len(options.recipes)} variants"
    ]


def _describe_scenes(config: Config) -> list[str]:
    options = config.scenes
    if "scenes" not in config.model_fields_set:
        return []
    run = ScenesRun.of(options, config.results)
    run.require_network()
    if options.drawn is not None:
        what = f"draws {options.drawn.landmarks} landmarks into {options.data}"
    else:
        needed = (run.tree(), run.correspondences(), *run.truth(), *run.masks(), *options.published.values())
        missing = [path for path in needed if not Path(path).exists()]
        what = f"missing: {', '.join(missing)}" if missing else f"landmarks of {run.tree()}"
    return [f"`snakemake scenes`: {what}; {len(run.runs())} trainings"]


def _collect(complaints: list[str], config: Path) -> Config | None:
    try:
        return yamlfile.parse(Config, config)
    except UsageError as error:
        complaints.append(str(error))
        return None


def _describe(run: Run, name: str, task: Task) -> list[str]:
    lines = [
        f"task {name} ({run.task_files[name]}): {len(task.classes)} classes, {len(task.labelers)} labelers, "
        f"{run.config.shards} shards",
    ]
    if task.rehearsal is not None:
        lines.append(f"  a rehearsal: {100 * task.rehearsal.wrong_fraction:g} % of the given labels are made wrong")
    lines += _notes(run, name)
    if name != DEMO:
        lines += [f"  missing: {path}; {hint}" for path, hint in _missing(run, name, task)]
    return lines


def _missing(run: Run, name: str, task: Task) -> Iterator[tuple[str, str]]:
    """Yield each path of a task that is not there, with the way to get it."""
    for dataset in (task.dataset, *task.reference.sources):
        for path in (dataset.path, dataset.truth, dataset.images):
            if path is not None and not Path(path).exists():
                fetched = [entry for entry in task.fetch if path in run.data.brought(entry, name)]
                bring = f"`secondlook fetch {' '.join(fetched)}` brings it" if fetched else dataset.obtain
                yield path, bring or f"place the data there, or correct the path in {run.task_files[name]}"
