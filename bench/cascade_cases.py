"""Complete votes of a committee, and what comes of them when its slow labelers are asked on some objects only."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import folded
import rehearsals
from correlated import World, draw
from noisy import DRAWN, OPTIONS, most_confused, with_given
from rehearsals import EACH, Kind, Rehearsal
from secondlook.stats.consensus.asked import Ask, choose
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.read import read_dataset, read_votes
from secondlook.stats.consensus.votes import Reviewed, Votes

Mask = NDArray[np.bool_]
NOISES: tuple[tuple[Kind, float], ...] = (("uniform", 0.1), ("uniform", 0.25), ("pairs", 0.25))
VLM, SLOWEST = "demo_vlm", "efficientnet_probe"


@dataclass(frozen=True)
class Case:
    """Votes of all labelers on all objects, the given labels among them; `slow` labelers are asked last.

    `truth`, `group` and `given` are (objects,).
    """

    name: str
    seed: int
    votes: Votes
    truth: NDArray[np.int64]
    group: NDArray[np.int64]
    given: NDArray[np.int64]
    slow: tuple[str, ...]

    @property
    def reviewed(self) -> Reviewed:
        """The reviews: none."""
        return replace(Reviewed.none(self.votes.objects), group=self.group)

    @property
    def cheap(self) -> Votes:
        """The votes without those of the slow labelers."""
        votes = self.votes
        for name in self.slow:
            votes = votes.without(name)
        return votes

    def asked(self, mask: Mask) -> Votes:
        """Return the votes if the slow labelers are asked on some objects only, (objects,)."""
        slow = np.isin(self.votes.labelers, self.slow)
        who = np.where(slow[:, None], mask, True)  # (labelers, objects)
        votes = self.votes.where(who[self.votes.labeler_index, self.votes.object_index])
        return votes if mask.all() else replace(votes, asked=who)

    def chosen(self, ask: Ask) -> Mask:
        """Return which objects the rule asks about, (objects,)."""
        fractions = np.random.default_rng([self.seed, 33]).random(self.votes.objects)
        return choose(self.cheap, self.given, self.group, fractions, ask).asked

    def leaking(self, share: float) -> Mask:
        """Return the most doubtful objects by a posterior that has seen their given labels, (objects,)."""
        sure = merge(self.cheap, "auto", self.reviewed, OPTIONS).posterior.max(axis=1)
        mask = np.zeros(len(sure), dtype=np.bool_)
        mask[np.argsort(sure, kind="stable")[: int(share * len(sure) + 1e-9)]] = True
        return mask

    def outcome(self, mask: Mask) -> "Outcome":
        """Merge the votes on what is asked, and propose."""
        votes = self.asked(mask)
        found = merge(votes, "auto", self.reviewed, OPTIONS)
        proposals = propose(votes, found, self.given, OPTIONS)
        p = found.posterior[np.arange(self.votes.objects), proposals.label]
        right, accepted = proposals.label == self.truth, proposals.score >= OPTIONS.accept
        return Outcome(self, mask, right, 1 - p, accepted)


@dataclass(frozen=True)
class Outcome:
    """What comes of a case, (objects,) each: what is asked, right and accepted, and the posterior that it is wrong."""

    case: Case
    asked: Mask
    right: Mask
    p_wrong: NDArray[np.float64]
    accepted: Mask


def rehearsed(name: str, rehearsal: Rehearsal, noise: tuple[Kind, float], seed: int, slow: tuple[str, ...]) -> Case:
    """Plant wrong labels in a set whose labelers never saw the given labels."""
    given = rehearsals.planted(rehearsal, *noise, seed)
    votes = with_given(rehearsal.votes, given)
    return Case(name, seed, votes, rehearsal.truth, rehearsal.group, given, slow)


def demo(folder: Path, seed: int) -> Rehearsal:
    """Return the votes on the demo drawn from a seed; they are made where the folder lacks them."""
    recipe = next(recipe for recipe in rehearsals.recipes() if recipe.needs is None)
    place = folder / f"demo{seed}"
    if not recipe.file(place, "").exists():
        place.mkdir(parents=True, exist_ok=True)
        rehearsals.make(recipe, place, seed)
    return rehearsals.load(recipe.file(place, ""))


def german(folder: Path, noise: tuple[Kind, float], seed: int) -> list[Case]:
    """Return GTSDB, every object judged out of fold by labelers of two encoders; none where the data is missing.

    In one case a single labeler of the slower encoder is asked last, in the other all three: then what decides on whom
    they are asked is far less sure.
    """
    for data in folded.datasets(folder / "folded", ["gtsdb"]):
        voted = folded.vote(data, folded.Noise("pairs" if noise[0] == "pairs" else "uniform", noise[1], seed))
        dataset = read_dataset(voted.instances, data.groups)
        votes = read_votes(dataset, list(voted.votes), use_given=True)
        return [
            Case(name, seed, votes, data.truth, dataset.group, voted.given, slow)
            for name, slow in (("gtsdb", (SLOWEST,)), ("gtsdb_encoder", EACH["efficientnet"]))
        ]
    return []


def toy(objects: int, seed: int) -> Case:
    """Return drawn votes, the family of VLMs being the slow tier."""
    families = DRAWN["relatives"]
    one = draw(World(objects=objects, families=families), seed)
    near, classes = most_confused(one.votes, one.truth), tuple(map(str, range(one.votes.classes)))
    slow = tuple(name for name, family in zip(one.votes.labelers, families, strict=True) if family == "vlm")
    return rehearsed("drawn", Rehearsal("drawn", one.votes, one.truth, one.image, near, classes), NOISES[1], seed, slow)


def cases(args: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[Case]]]:
    """Yield the cases of each dataset and noise, a case for each seed, and the noise in words."""
    if args.toy:
        yield _in_words(NOISES[1]), [toy(args.objects, seed) for seed in range(args.seeds)]
        return
    drawn = [demo(folder, seed) for seed in range(args.seeds)]
    for noise in NOISES:
        yield _in_words(noise), [rehearsed("demo", one, noise, seed, (VLM,)) for seed, one in enumerate(drawn)]
    for noise in NOISES:
        for several in zip(*(german(folder, noise, seed) for seed in range(args.seeds)), strict=True):
            yield _in_words(noise), list(several)


def _in_words(noise: tuple[Kind, float]) -> str:
    return f"{noise[0]} {noise[1]:.0%}"


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--sets", type=Path, help="folder that keeps the votes; default: made anew")
    made.add_argument("--seeds", type=int, default=3, help="of the drawings of the demo, and of planted errors")
    made.add_argument("--objects", type=int, default=400, help="of the drawn set of --toy")
    made.add_argument("--worlds", type=int, default=1000, help="of each row of the guarantee")
    return made
