"""What `plan` says of the ways to ask: their hours, and what they bought where `evaluate` has measured it."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook.base.errors import DataError
from secondlook.io.outputs import Table
from secondlook.workflow.job_groups import JobGroup
from secondlook.workflow.run import Run
from secondlook.workflow.verdicts import kinds_of_models

_FORM = "  {:<32} {:>9} {:>9} {:>24} {:>24}"
_HEADINGS = ("way to ask", "GPU-hours", "CPU-hours", "accuracy, %", "people must see, %")
_EARLIER = "  accuracy, and what people must see, are of another `ask` of {names}: {path} is older than the rule of now"
_NOT_YET = "  accuracy, and what people must see, are known after `evaluate`: {path} is missing"


@dataclass(frozen=True)
class Hours:
    """The hours of some labelers on GPUs and on CPUs, None where those of one are unknown."""

    gpu: float | None
    cpu: float | None


@dataclass(frozen=True)
class Costs:
    """The kinds of jobs of a task that make votes, by rule and model, and how many jobs a kind has."""

    run: Run
    task: str
    kinds: Mapping[tuple[str, str], JobGroup]
    jobs: int

    @classmethod
    def of(cls, run: Run, task: str) -> "Costs":
        """Return those of a task as if nothing were done."""
        kinds = {(kind.rule, kind.model): kind for kind in kinds_of_models(run, [task])}
        return cls(run, task, kinds, run.files.job_count(task))

    def hours(self, labelers: Sequence[str], *, whole: bool) -> Hours:
        """Return the hours of labelers and the encoders they need, with `whole` as if asked about all objects."""
        encoders = (self.run.labelers_of(self.task).encoder(name) for name in labelers)
        needed = [("label", name) for name in labelers]
        needed += [("embed", name) for name in dict.fromkeys(encoders) if name is not None]
        on = {True: 0.0, False: 0.0}
        for key in needed:
            kind = self.kinds[key]
            minutes = kind.cost.if_all if whole else kind.cost.minutes
            if minutes is None:
                return Hours(None, None)
            on[kind.on_gpu] += self.jobs * minutes / 60
        return Hours(on[True], on[False])


def frontier(run: Run, task: str) -> list[str]:
    """Return a table of the ways to ask of a task, a line each; none for a single labeler, or if nothing is known."""
    names = [*run.tasks[task].labelers]
    if len(names) < 2:
        return []
    path = Path(run.files.folder(task)) / "evaluate" / Table.FRONTIER
    bought, costs = _read(path), Costs.of(run, task)
    if not bought and all(costs.hours([name], whole=True).gpu is None for name in names):
        return []
    rows = [
        _line(way, costs.hours(labelers, whole=whole), bought.get(way)) for way, labelers, whole in _ways(run, task)
    ]
    lines = [f"task {task}: what votes cost, and what they buy", _FORM.format(*_HEADINGS).rstrip(), *rows]
    return [*lines, *_of_other_rules(run, task, path)] if bought else [*lines, _NOT_YET.format(path=path)]


def _of_other_rules(run: Run, task: str, table: Path) -> Iterator[str]:
    """Yield a line if the table of `evaluate` is of votes that were asked by other rules than those of the config."""
    told = _told(table.parent / Table.FINDINGS)
    if told is None:
        return
    rules, tiers = dict(told["rules"]), {name for tier in told["tiers"] for name in tier}
    labelers = run.config_of(task).labelers
    list_of = {name: Path(path).stem for name in run.tasks[task].labelers for path in run.asked_files(task, name)}
    now = {listed: rule.model_dump() for listed in list_of.values() if (rule := labelers[listed].ask) is not None}
    other = {listed for listed in {*rules, *now} if rules.get(listed) != now.get(listed)}
    other |= {name for name in tiers if name not in list_of}
    other |= {name for name, listed in list_of.items() if listed in tiers and name not in tiers}
    if other:
        yield _EARLIER.format(names=", ".join(sorted(other)), path=table)


def _told(findings: Path) -> dict[str, Any] | None:
    """Return the rules by which labelers were asked, by list, and the tiers, if `evaluate` tells them, else None."""
    if not findings.is_file():
        return None
    try:
        content = json.loads(findings.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{findings}: is not a file of the evaluation ({error}); run evaluate again.") from error
    if "asking" not in content:
        return None
    asking = content["asking"] or {"rules": {}, "tiers": []}
    return asking if "rules" in asking else None  # an earlier version told no rules


def _ways(run: Run, task: str) -> Iterator[tuple[str, list[str], bool]]:
    """Yield each way with its labelers, and whether all of these are asked about everything."""
    names, tiers = [*run.tasks[task].labelers], dict[str, list[str]]()
    for name in names:
        for listed in run.asked_files(task, name):
            tiers.setdefault(listed, []).append(name)
    if tiers:
        yield "as asked", names, False
    yield "all asked", names, True
    for tier in tiers.values():
        others = [name for name in names if name not in tier]
        if others:
            yield f"without {' and '.join(tier)}", others, False
    yield from ((name, [name], True) for name in names)


def _line(way: str, hours: Hours, bought: Mapping[str, str] | None) -> str:
    spent = ("?" if one is None else f"{one:.2f}" for one in (hours.gpu, hours.cpu))
    return _FORM.format(way, *spent, *(_figure(bought, name) for name in ("accuracy", "to_people"))).rstrip()


def _figure(bought: Mapping[str, str] | None, name: str) -> str:
    cells = [(bought or {}).get(column, "") for column in (name, f"{name}_low", f"{name}_high")]
    if not all(cells):
        return "-"
    value, low, high = (100 * float(cell) for cell in cells)
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def _read(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the table of `evaluate` by their way; none where it is missing."""
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {row["way"].removeprefix("'"): row for row in csv.DictReader(file)}
    except (UnicodeDecodeError, KeyError) as error:
        raise DataError(f"{path}: is not a table of the evaluation ({error}); run evaluate again.") from error
