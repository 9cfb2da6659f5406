"""The desk itself: it takes decisions, merges them in the background, hands objects out and says how much is left."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Condition, RLock, Thread
from typing import Any

import numpy as np

from secondlook.base import progress
from secondlook.config.stages import ReviewOptions
from secondlook.io import records
from secondlook.stages.review import decisions
from secondlook.stages.review.desk.claims import Claims, Journal, holder_of, ids_of
from secondlook.stages.review.desk.decided import Decided, as_decisions
from secondlook.stages.review.desk.front import Front
from secondlook.stages.review.desk.handing import Dealer, Hand, Wanted, wanted_of
from secondlook.stages.review.desk.loaded import Loaded, load, matching_dataset
from secondlook.stages.review.desk.merging import Merged, merge
from secondlook.stages.review.desk.partial import PartlyShown
from secondlook.stages.review.desk.saved import Row, Saved
from secondlook.stages.review.desk.state import classes_of, state_of
from secondlook.stages.review.matching import read_dataset
from secondlook.stages.review.reading import UNDONE
from secondlook.stages.review.shown import Card

CLAIMS = "desk-claims.jsonl"
MOST_THUMBNAILS = 300
_AHEAD_S = 86400.0  # that a decision may be ahead of the clock here


class Desk:
    """The objects of a task and the people who decide on them; every method may be called from any thread."""

    def __init__(
        self, results: Path, folder: Path, options: ReviewOptions, clock: Callable[[], float] = time.time
    ) -> None:
        self.clock = clock
        self.loaded: Loaded = load(results, folder, options)
        self.shown = PartlyShown(results, self.loaded.objects, options)
        self.saved, self._journal = Saved(folder), Journal(folder / CLAIMS)
        self.claims, self._dealer = Claims(clock, self._journal.write), Dealer(Front(options.batch_size))
        self.decided = self._read_decisions()
        self.claims.repeat(self._journal.read())
        self._handed: dict[str, Card] = {}
        self._lock, self.merging = RLock(), False
        self._news, self._stopped = Condition(self._lock), False
        self._tried = self.decided.number
        self._take_over(merge(self.loaded, self.decided.copy(), self.decided.dataset, self.decided.number))

    def _read_decisions(self) -> Decided:
        """Return what the files say, and what only the reviews of the last run know."""
        rows, instances = list(self.saved.read()), self.loaded.results / "ingest" / "instances.parquet"
        unknown = [row for row in rows if row["instance_id"] not in self.loaded.places]
        by_image = read_dataset(instances, unknown).by_image if unknown else {}
        decided = Decided(matching_dataset(self.loaded, by_image), self.loaded.places)
        useless = 0
        for row in rows:
            checked = decided.check(row)
            if checked.reason is None:
                decided.take(row, checked)
            useless += checked.reason is not None
        if useless:
            progress.say(
                f"review: {useless} rows in {self.saved.folder} match no object; see unmatched.csv after a run"
            )
        self._add_reviewed(decided)
        return decided

    def _add_reviewed(self, decided: Decided) -> None:
        reviewed = self.loaded.results / "review" / "reviewed.parquet"
        told = records.read(reviewed, records.REVIEW).to_pylist() if reviewed.exists() else []
        known = set(decided.read.decisions)
        rows = [row for row in as_decisions(told) if (row["instance_id"], f"human:{row['reviewer']}") not in known]
        for row in rows:
            checked = decided.check(row)
            if checked.reason is None:
                decided.take(row, checked)
        if rows:
            progress.say(
                f"review: {len(rows)} decisions in {reviewed} are in no file of {self.saved.folder}; they count"
            )

    def start(self) -> None:
        """Begin to merge in the background; the journal of the claims is written anew."""
        self._journal.begin(self.claims.entries())
        Thread(target=self._merge_for_ever, name="merging", daemon=True).start()

    def stop(self) -> None:
        """End merging after what is being merged."""
        with self._news:
            self._stopped = True
            self._news.notify_all()

    def _merge_for_ever(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._stopped or self.decided.number > self._tried)
                if self._stopped:
                    return
                read, self._tried, self.merging = self.decided.copy(), self.decided.number, True
            try:
                merged = merge(self.loaded, read, self.decided.dataset, self._tried)
            except Exception as error:  # decisions are saved all the same; the next one tries again
                progress.say(f"review: merging failed ({type(error).__name__}: {error}); what is shown is older")
                continue
            with self._news:
                self._take_over(merged)

    def _take_over(self, merged: Merged) -> None:
        self.merged, self.merging = merged, False
        self.shown.objects = merged.objects
        later = {row: number for row, number in self.decided.changed.items() if number > merged.number}
        self.decided.changed = later

    def decide(self, told: Any) -> int:
        """Save decisions, one row or a list of them, and return how many; they are on the disk then.

        Raises ValueError with a sentence for a row that counts for nothing, OSError or DataError if the disk refuses;
        none is saved then, or it is confirmed when it is sent again.
        """
        rows = [_cells(row) for row in (told if isinstance(told, list) else [told])]
        with self._news:
            for row in rows:
                self._require(row)
            try:
                for kept in self.saved.keep(rows):
                    self._take(kept)
            finally:
                self._news.notify_all()
        return len(rows)

    def _require(self, row: Row) -> None:
        """Raise ValueError for a row that counts for nothing, or that no later one could replace."""
        most = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.clock() + _AHEAD_S))
        if row["decided_at"] > most:  # as text: so the latest is found
            raise ValueError(
                f"`decided_at` is {row['decided_at']}, ahead of the clock here; set the clock of the browser"
            )
        if row["instance_id"] not in self.loaded.places:
            raise ValueError(f"{row['instance_id']}: is no object of this dataset")
        reason = self.decided.check(row).reason
        if reason is not None:
            raise ValueError(f"{row['instance_id']}: {reason}")

    def _take(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.decided.take(row, self.decided.check(row))
            person, name = row["reviewer"].strip(), row["instance_id"]
            (self.claims.undone if row["note"] == UNDONE else self.claims.decided)(person, name)

    def claim(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return the next objects for a person; raises ValueError for a claim that is none."""
        wanted = wanted_of(told, self.loaded.objects.classes)
        with self._lock:
            self.claims.claim(wanted.holder, self._claimed_again(wanted))
            handed = self._dealer.deal(Hand(self.loaded, self.merged, self.decided, self.claims, wanted))
            names = handed.table["instance_id"].tolist()
            known = handed.table[handed.table["sample"] == records.AUDIT]
            self.claims.claim(wanted.holder, names, dict(zip(known["instance_id"], known["proposal"], strict=True)))
            queued = handed.table["sample"] == "queue"
            others = {
                name: self.merged.others(int(row))
                for name, row, is_queued in zip(names, handed.rows, queued, strict=True)
                if is_queued
            }
            cards = list(self.shown.cards(handed.table, others))
            self._handed |= {card["id"]: card for card in cards}
        return {"cards": cards, "left": handed.left}

    def _claimed_again(self, wanted: Wanted) -> list[str]:
        """Return what is still on the screen of a person whose claims had ended, and nobody else has got since."""
        places, mine = self.loaded.places, self.decided.by(wanted.person)
        open_ = [name for name in wanted.holding if name in places and not mine[places[name]]]
        return [name for name in open_ if self.claims.holder(name) is None]

    def release(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Take objects back from a tab of a person; raises ValueError where it is not said from whom or which."""
        holder, names = holder_of(told), ids_of(told, "ids")
        with self._lock:
            self.claims.release(holder, names)
        return {}

    def leave(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Take everything from a tab that is closed, but decisions that have not come yet; raises as `release` does."""
        holder, unsent = holder_of(told), ids_of(told, "unsent")
        with self._lock:
            self.claims.leave(holder, set(unsent))
        return {}

    def state(self, person: str, tab: str = "") -> dict[str, Any]:
        """Return how far the work is, and note that a person is there; nobody where the name is empty."""
        person = person.strip()
        with self._lock:
            if person:
                self.claims.hear(holder_of({"reviewer": person, "tab": tab}))
            now = state_of(self.loaded, self.merged, self.decided, self.claims, person)
            return {
                **now,
                "classes": classes_of(self.loaded, self.merged, self.decided, self._dealer.front, person),
                "merging": self.merging,
            }

    def thumbnails(self, names: Sequence[str]) -> dict[str, Any]:
        """Return thumbnails by id; raises ValueError for too many, and for objects that do not exist."""
        if len(names) > MOST_THUMBNAILS:
            raise ValueError(f"at most {MOST_THUMBNAILS} thumbnails at a time")
        self._require_known(names)
        return self.shown.thumbnails(names)

    def look(self, name: str) -> dict[str, Any]:
        """Return what the single view shows of an object."""
        self._require_known([name])
        return self.shown.look(self._handed.get(name) or self._card(name))

    def whole_image(self, name: str) -> bytes | None:
        """Return the image of an object as JPEG, None where it cannot be read."""
        self._require_known([name])
        return self.shown.whole_image(name)

    def _card(self, name: str) -> Card:
        """Return the card of an object that was handed out before a restart."""
        row = self.loaded.places[name]
        table = self.merged.objects.table.iloc[[row]][["instance_id", "proposal", "confidence"]]
        about = {"sample": "queue", "probability": np.nan, "benefit": 0.0, "reason": self.merged.reasons[row]}
        if name in self.claims.proposed:
            about |= {"sample": records.AUDIT, "proposal": self.claims.proposed[name]}
        return next(iter(self.shown.cards(table.assign(**about), {name: self.merged.others(row)})))

    def _require_known(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.loaded.places:
                raise ValueError(f"{name}: is no object of this dataset")


def _cells(told: Any) -> dict[str, str]:
    """Return a decision as it is read from a file; raises ValueError for one that cannot be written."""
    if not isinstance(told, dict) or not told.get("instance_id") or not str(told.get("reviewer") or "").strip():
        raise ValueError("a decision is a mapping with an `instance_id` and a `reviewer`")
    holder_of({"reviewer": str(told["reviewer"])})
    return decisions.to_cells(told)
