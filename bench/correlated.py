"""Votes of related labelers with known truth, to measure the consensus methods.

Every labeler turns one score per class into probabilities. The score of the true class is higher by the labeler's
margin; noise comes from the labeler itself, from its family (relatives err together) and in strength from the object,
whose difficulty it partly shares with the other objects of its image. Labelers also have a bias for some classes and
are over- or under-confident, each in its own way.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from secondlook.stats.consensus.votes import Reviewed, Votes

FAMILIES = ("vlm",) * 5 + ("clip",) * 2 + ("resnet",) * 3


@dataclass(frozen=True)
class World:
    """How votes are drawn: `shared` is the noise of a family, `own` that of a labeler, in units of the margin."""

    objects: int = 40_000
    classes: int = 11
    families: tuple[str, ...] = FAMILIES
    per_image: float = 4.0
    abstain: float = 0.18
    margin: float = 3.7
    spread: float = 0.55
    shared: float = 1.65
    own: float = 0.3
    bias: float = 1.1
    difficulty: float = 0.55
    image_share: float = 0.5
    heat: float = 0.35  # how far the confidences of labelers are from calibrated ones, as a log-normal sigma


@dataclass(frozen=True)
class Drawn:
    """Votes, the true class and the image of each object, both (objects,)."""

    votes: Votes
    truth: NDArray[np.int64]
    image: NDArray[np.int64]

    def reviewed(self, reviews: int, seed: int = 0) -> Reviewed:
        """Return the reviews of `reviews` objects drawn at random."""
        random = np.random.default_rng([seed, 7])
        looked_at = random.choice(len(self.truth), size=min(reviews, len(self.truth)), replace=False)
        rank = np.full(len(self.truth), np.inf)
        rank[looked_at] = np.arange(len(looked_at))
        sampled = np.isfinite(rank)
        return Reviewed(np.where(sampled, self.truth, -1), sampled, sampled, self.image, rank)


def draw(world: World, seed: int = 0) -> Drawn:
    """Draw the votes of a world."""
    random = np.random.default_rng(seed)
    image = np.sort(random.integers(0, max(1, round(world.objects / world.per_image)), world.objects))
    prior = 1.0 / np.arange(1, world.classes + 1) ** 0.8
    truth = random.choice(world.classes, size=world.objects, p=prior / prior.sum())
    hardness = _hardness(world, image, random)
    names = sorted(set(world.families))
    by_family = {name: random.normal(size=(world.objects, world.classes)) for name in names}
    columns = []
    for labeler, (family, margin) in enumerate(zip(world.families, _margins(world), strict=True)):
        noise = world.shared * by_family[family] + world.own * random.normal(size=(world.objects, world.classes))
        score = hardness[:, None] * noise + world.bias * random.normal(size=world.classes)
        score[np.arange(world.objects), truth] += margin
        heat = np.exp(random.normal(0.0, world.heat))
        log_p = log_softmax(heat * score, axis=1).astype(np.float32)
        answered = np.flatnonzero(random.random(world.objects) >= world.abstain)
        columns.append((answered, np.full(len(answered), labeler), log_p[answered].argmax(axis=1), log_p[answered]))
    where, who, what, log_p = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    labelers = tuple(f"{family}{index}" for index, family in enumerate(world.families))
    votes = Votes(where, who, what, world.objects, labelers, world.families, world.classes, log_p)
    return Drawn(votes, truth, image)


def _margins(world: World) -> list[float]:
    """Return the margin of each labeler: the members of a family are sizes of one model, evenly spaced."""
    counts = {name: world.families.count(name) for name in world.families}
    steps = {
        name: iter(np.linspace(1 - world.spread, 1 + world.spread, count + 2)[1:-1]) for name, count in counts.items()
    }
    return [world.margin * float(next(steps[name])) for name in world.families]


def _hardness(world: World, image: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.float64]:
    by_image = random.normal(size=image.max(initial=0) + 1)[image]
    own = random.normal(size=len(image))
    mixed = np.sqrt(world.image_share) * by_image + np.sqrt(1 - world.image_share) * own
    return np.asarray(np.exp(world.difficulty * mixed))
