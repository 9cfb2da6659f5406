"""What people are shown of objects while parts of the results are missing: the rest of it, and a sentence once."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.stages import ReviewOptions
from secondlook.stages.review.queue import Objects
from secondlook.stages.review.shown import Shown
from secondlook.stages.review.thumbnails import Piece

Found = TypeVar("Found")


class PartlyShown(Shown):
    """Objects as the desk shows them: a shard that is gone or broken costs its own crops and votes, and no more."""

    def __init__(self, results: Path, objects: Objects, options: ReviewOptions) -> None:
        super().__init__(results, objects, options)
        self._said: set[str] = set()

    def crops(self, instance_ids: Sequence[str]) -> dict[str, Piece]:
        """Return the stored crops of objects, those of each shard that can be read."""
        read = super().crops
        return self._by_shard(read, self._shards_of(instance_ids), instance_ids)

    def votes_of(self, labeler: str, ids: Sequence[str], shards: Sequence[int]) -> dict[str, dict[str, Any]]:
        """Return the votes of a labeler by object, those of each shard that can be read."""
        read = super().votes_of
        return self._by_shard(lambda own: read(labeler, own, self._shards_of(own)), shards, ids)

    def _by_shard(
        self, read: Callable[[Sequence[str]], Mapping[str, Found]], shards: Sequence[int], ids: Sequence[str]
    ) -> dict[str, Found]:
        found: dict[str, Found] = {}
        for shard in sorted(set(shards)):
            try:
                found |= read([name for name, own in zip(ids, shards, strict=True) if own == shard])
            except (DataError, OSError) as error:
                self._say(str(error))
        return found

    def _say(self, error: str) -> None:
        if error not in self._said:
            self._said.add(error)
            progress.say(f"review: {error} What is in it is not shown; people may go on.")
