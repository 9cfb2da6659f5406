"""Which objects belong together: the tracks of clips, and the groups that `dataset.group_by` asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from secondlook.config.task import grouping
from secondlook.io import records

TRACK_ID = "track_id"  # the attribute with the number of an object within its clip
MOST_ODD = 0.05  # of the tracks with two or more objects; more are no accident


@dataclass(frozen=True)
class Groups:
    """How the objects of one dataset are grouped: `group_by` as in the task file."""

    dataset: str
    group_by: str = "auto"

    @cached_property
    def _grouping(self) -> tuple[str, str]:
        return grouping(self.group_by)

    @cached_property
    def by_track(self) -> bool:
        """Whether a track is a group."""
        return self._grouping[0] == "auto"

    @cached_property
    def may_lack(self) -> bool:
        """Whether an object can lack what its group follows from; its image is then its group."""
        return self._grouping[0] in {"attribute", "regex"}

    def of(self, image: str, attributes: Mapping[str, str]) -> tuple[str | None, str]:
        """Return the ids of the track, None without one, and of the group of an object in the image named `image`."""
        number = attributes.get(TRACK_ID)
        track = records.track_id(self.dataset, _clip_of(image), number) if number else None
        if self.by_track and track is not None:
            return track, track
        name = self._name(image, attributes)
        if not name:
            return track, records.image_id(self.dataset, image)
        return track, records.group_id(self.dataset, self._grouping[0], name)

    def _name(self, image: str, attributes: Mapping[str, str]) -> str | None:
        kind, argument = self._grouping
        match kind:
            case "folder":
                return _clip_of(image)
            case "attribute":
                return attributes.get(argument)
            case "regex":
                found = re.search(argument, image)
                return (next(iter(found.groups()), None) or found[0]) if found else None
        return None


def _clip_of(image: str) -> str:
    return PurePosixPath(image).parent.as_posix()


@dataclass(frozen=True)
class Tracks:
    """What the tracks of two or more objects show.

    `count` is their number, `crowded` how many have two boxes in one image. `labelled` have two or more given labels,
    and `mixed` of them show several classes.
    """

    count: int
    crowded: int
    labelled: int
    mixed: int

    @classmethod
    def of(cls, instances: pa.Table) -> "Tracks":
        """Count the tracks among instance rows, whose `given` is still as the dataset states it."""
        rows = instances.select(["track", "image_id", "given"]).filter(pc.field("track").is_valid())
        tracks = rows.group_by("track").aggregate(
            [("image_id", "count"), ("image_id", "count_distinct"), ("given", "count"), ("given", "count_distinct")]
        )
        several = tracks.filter(pc.field("image_id_count") >= 2)
        labelled = several.filter(pc.field("given_count") >= 2)
        crowded = several.filter(pc.field("image_id_count_distinct") < pc.field("image_id_count"))
        mixed = labelled.filter(pc.field("given_count_distinct") > 1)
        return cls(len(several), len(crowded), len(labelled), len(mixed))

    @property
    def labelled_once(self) -> bool:
        """Whether the dataset has one label for each track, not one for each of its boxes."""
        return self.labelled > 0 and self.mixed <= MOST_ODD * self.labelled

    @property
    def doubt(self) -> str | None:
        """A sentence where the ids are perhaps no tracks but numbers within an image, None elsewhere."""
        if self.crowded <= MOST_ODD * self.count and self.mixed <= MOST_ODD * self.labelled:
            return None
        return (
            f"of {self.count} tracks with two or more objects, {self.crowded} have two boxes in one image and "
            f"{self.mixed} show several given labels: `{TRACK_ID}` perhaps numbers the boxes of an image. If so, set "
            "`group_by: image` for the dataset"
        )
