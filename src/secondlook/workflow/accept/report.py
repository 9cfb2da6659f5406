"""The report of an acceptance run: plain text to read and to send, and the same as JSON."""

import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from secondlook.io import files
from secondlook.workflow.accept.findings import STATUSES, Finding, Record

TEXT, JSON = "report.txt", "report.json"
_MARKS = {"ok": "ok", "note": "note", "warning": "WARNING", "failure": "FAILURE"}
_WIDTH = 116
_OF_NETWORK = ("hub", "hub cache", "sources")


@dataclass(frozen=True)
class Report:
    """What was accepted (`title`), with which versions, and the records; `asked` says what each probe asked for."""

    title: str
    versions: Mapping[str, str]
    records: Sequence[Record]
    asked: Mapping[str, str]

    @property
    def failed(self) -> bool:
        """Whether something that a run needs is not there."""
        return any(one.status == "failure" for one in self._findings())

    @property
    def text(self) -> str:
        """The report for people."""
        return "\n".join(self._lines())

    def write(self, folder: Path) -> None:
        """Write report.txt and report.json to a folder."""
        records = [{**asdict(one), "asked": self.asked.get(one.probe, "")} for one in self.records]
        content = {"title": self.title, "versions": self.versions, "counts": self._counts(), "records": records}
        files.write_text(folder / JSON, json.dumps(content, indent=1) + "\n")
        files.write_text(folder / TEXT, self.text + "\n")

    def _findings(self) -> list[Finding]:
        return [finding for record in self.records for finding in record.findings]

    def _counts(self) -> dict[str, int]:
        counts = Counter(one.status for one in self._findings())
        return {status: counts[status] for status in STATUSES}

    def _everywhere(self) -> list[Finding]:
        """Return what all machines say alike of the network, but for failures: it is shown once."""
        said = [
            [one for one in record.findings if one.check in _OF_NETWORK and one.status != "failure"]
            for record in self.records
        ]
        said = [found for found in said if found]
        return [one for one in said[0] if all(one in found for found in said)] if len(said) > 1 else []

    def _lines(self) -> Iterator[str]:
        yield self.title
        yield from _wrapped(", ".join(f"{name} {text}" for name, text in self.versions.items()), "")
        everywhere = self._everywhere()
        for record in self.records:
            yield ""
            place = f" on {record.where}" if record.where else ""
            asked = self.asked.get(record.probe, "")
            yield f"{record.probe}{f' ({asked})' if asked else ''}{place}"
            for finding in record.findings:
                if finding not in everywhere:
                    yield from _of_finding(finding)
        if everywhere:
            yield from ("", "on each of these machines")
            for finding in everywhere:
                yield from _of_finding(finding)
        counts = self._counts()
        yield ""
        yield "in all: " + ", ".join(f"{count} {status}" for status, count in counts.items())
        yield "something that a run needs is not there" if self.failed else "everything that a run needs is there"


def _of_finding(finding: Finding) -> Iterator[str]:
    yield from _wrapped(finding.says, f"  {_MARKS[finding.status]:<8}{finding.check:<17}")
    if finding.way_out:
        yield from _wrapped(finding.way_out, f"{'':27}-> ")


def _wrapped(text: str, before: str) -> list[str]:
    """Break a text into lines that begin below each other, the first after `before`."""
    return textwrap.wrap(
        text, _WIDTH, initial_indent=before, subsequent_indent=" " * len(before), break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip
