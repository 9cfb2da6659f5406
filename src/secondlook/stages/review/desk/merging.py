"""What all decisions mean together: reviews, the guarantee and its forecast, and the order in which people look."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secondlook.stages.review import audit, queue, share
from secondlook.stages.review.desk.loaded import Loaded, Rows, Stacks, as_table
from secondlook.stages.review.matching import Dataset
from secondlook.stages.review.queue import DIFFER, SEEN, Objects, Others
from secondlook.stages.review.reading import Read, Reviews, reviews_of
from secondlook.stats.consensus.read import reviewed_in
from secondlook.stats.guarantee import outcome
from secondlook.stats.guarantee.outcome import Guaranteed, People

_MOST_AUDITS = 1000  # that are chosen at once


@dataclass(frozen=True)
class Merged:
    """What the first `number` decisions come to; `objects` with what people did, and with the guarantee of now.

    `queue` are the rows that people look at by doubt, the first open one of each stack, without those that the random
    sample needs next; `sample` are those that nobody has looked at, in the order of the random sample. `seen` marks
    what is decided, `differ` where people differ, `again` what a second person is to see, `unsure` what goes to a
    person as it stands, (objects,) each. `random` is the share of the random sample where both are mixed. `audits` are
    rows of known wrong proposals with the positions of the classes that are proposed.
    """

    number: int
    objects: Objects
    benefit: NDArray[np.float64]
    queue: Rows
    sample: Rows
    seen: NDArray[np.bool_]
    differ: NDArray[np.bool_]
    again: NDArray[np.bool_]
    unsure: NDArray[np.bool_]
    random: float
    audits: tuple[tuple[int, int], ...]
    reasons: NDArray[np.str_]
    stack: Stacks

    def others(self, row: int) -> Others:
        """Return the open objects that the object at `row` of the queue is shown for."""
        rows = self.stack.rows_like(row)
        if self.seen[row] or self.differ[row] or len(rows) < 2:
            return Others((), ())
        rows = rows[~self.seen[rows] & ~self.differ[rows] & (rows != row)]
        return queue.others_of(self.objects, row, rows)


def merge(loaded: Loaded, read: Read, dataset: Dataset, number: int) -> Merged:
    """Return what the decisions in `read` come to, of which there are `number`."""
    reviews = reviews_of(read, dataset)
    result, people = _guaranteed(loaded, reviews)
    objects = _objects(loaded, reviews, result)
    objects = replace(objects, guarantee=outcome.about_now(result, people, loaded.objects.posterior))
    table, options = objects.table, loaded.options
    state, looked = table["state"].to_numpy(), table["looked"].to_numpy()
    benefit = queue.benefit_of(objects, options.rarity)
    seen, differ = state == SEEN, state == DIFFER
    again = loaded.twice & looked & seen & _by_one(loaded, reviews)
    unsure = (table["action"] == "review").to_numpy() & ~seen
    sample = loaded.sample[~looked[loaded.sample]]
    total = min(options.batch_size * options.batches, int((~seen | ~looked).sum()))
    random = share.random_share(total, int((unsure & ~looked).sum()), options, objects.guarantee)
    drawn = np.zeros(len(table), dtype=np.bool_)
    drawn[sample[: random.places]] = True
    return Merged(
        *(number, objects, benefit, _in_order(loaded, state, benefit, (again, drawn)), sample),
        *(seen, differ, again, unsure),
        random.places / random.among if random.among else 0.0,
        _audits(loaded, objects, sample[: random.places]),
        queue.reasons_of(table, np.zeros(len(table), dtype=np.bool_)),
        loaded.stack,
    )


def _guaranteed(loaded: Loaded, reviews: Reviews) -> tuple[Guaranteed, People]:
    path = loaded.results / "review" / "reviewed.parquet"
    people = People(reviewed_in(loaded.dataset, as_table(reviews), path), reviews.audits.missed, loaded.epoch)
    result = outcome.guaranteed(loaded.proposals, people, loaded.merging, loaded.objects.classes)
    return outcome.with_levels_of_new_labels(result, loaded.merging), people


def _objects(loaded: Loaded, reviews: Reviews, result: Guaranteed) -> Objects:
    """Return the objects with what people did, and what becomes of each without a person."""
    table = loaded.objects.table
    action = _action(loaded, result)
    label = np.where(action == "relabel", table["proposal"], table["given"])
    changed = action != table["action"].to_numpy(dtype=object)
    table = table.assign(action=action, label=np.where(changed, label, table["label"]))
    opinions = ((loaded.places[name], one) for name, one in reviews.opinions.items())
    audited = loaded.objects.audited | frozenset(reviews.audits.objects)
    people = len({labeler for _, labeler in reviews.direct})
    return replace(loaded.objects, table=queue.with_states(table, opinions), people=people, audited=audited)


def _action(loaded: Loaded, result: Guaranteed) -> NDArray[np.object_]:
    """Return what becomes of each object without a person, (objects,).

    While no guarantee sets the levels that is what the last run decided, because levels of accepted labels read a score
    that it did not store.
    """
    table = loaded.objects.table
    accepted = result.acceptance.accepts(result.proposals)
    if not result.claim.by_level and not loaded.by_level:
        accepted = np.where(loaded.by_person, accepted, (table["action"] != "review").to_numpy())
    alike = (table["proposal"] == table["given"]).to_numpy()
    return np.where(accepted, np.where(alike, "keep", "relabel"), "review").astype(object)


def _by_one(loaded: Loaded, reviews: Reviews) -> NDArray[np.bool_]:
    one = np.zeros(len(loaded), dtype=np.bool_)
    one[[loaded.places[name] for name, opinion in reviews.opinions.items() if len(opinion.direct) == 1]] = True
    return one


def _in_order(
    loaded: Loaded,
    state: NDArray[np.object_],
    benefit: NDArray[np.float64],
    marked: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> Rows:
    """Return the rows of the queue: where people differ, what a second person is to see, then the first of each stack.

    Each part is in the order of `queue.by_doubt`. `marked` are the second of these, and what the random sample needs
    next: that is never shown by doubt, as on pages.
    """
    again, drawn = marked
    is_open = (state == DIFFER) | ((state != SEEN) & ~drawn)
    ordered = queue.by_doubt(np.flatnonzero(is_open | again), state, benefit)
    alone = (state[ordered] == DIFFER) | again[ordered]
    _, first = np.unique(np.where(alone, -1 - ordered, loaded.stack.head[ordered]), return_index=True)
    kept = ordered[np.sort(first)]
    place = np.select([state[kept] == DIFFER, again[kept]], [0, 1], default=2)
    return np.asarray(kept[np.argsort(place, kind="stable")])


def _audits(loaded: Loaded, objects: Objects, drawn: Rows) -> tuple[tuple[int, int], ...]:
    if not loaded.options.audit_fraction or not queue.audits_begin(objects, loaded.options):
        return ()
    rows, wrong = audit.choose(queue.audit_sources(objects, drawn), _MOST_AUDITS)
    return tuple(zip(rows.tolist(), wrong.tolist(), strict=True))


def probability_of(loaded: Loaded, row: int) -> float:
    """Return the bound below which the random sample is complete up to the object at `row`, itself included."""
    return float(min(1.0, np.nextafter(loaded.dataset.review_fractions[row], 1.0)))
