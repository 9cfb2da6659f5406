"""The rows that stages exchange: their names, their Arrow schemas, and the words in their columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import pyarrow as pa

ACCEPTED = ("keep", "relabel")  # the actions that no person checks; the third is `review`
PERSON_KEPT, PERSON_CHOSE = "a person kept the given label", "a person chose the label"  # reasons of decisions
REFERENCE = "reference"  # the split of the dataset's own reference objects, and the part that holds all of them
SOURCE = "source"  # the split of reference objects from elsewhere
REFERENCE_SPLITS = (REFERENCE, SOURCE)
RLE = pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])
_SIDES = ("left", "top", "right", "bottom", "width", "height")
PLACE = pa.struct([("path", pa.string()), *((side, pa.int32()) for side in _SIDES)])

RejectReason = Literal[
    "missing_image",
    "unreadable_image",
    "size_mismatch",
    "bad_name",
    "unknown_image",
    "ambiguous_image",
    "duplicate_id",
    "bad_coordinates",
    "empty_box",
    "box_outside",
    "unknown_class",
    "malformed",
    "no_box",
    "not_selected",
    "no_mask",
]

# `low_mass`: a VLM that wanted to say something else; `unparsed`: text that names no class; `failed`: see `answer`;
# `unknown_class`: the given class was not in what the labeler learned from
VoteStatus = Literal["answered", "abstained", "low_mass", "unparsed", "failed", "unknown_class"]

# `random`: drawn with a known probability, so that estimates hold; `queue`: chosen because a look seems useful;
# `audit`: shown again with a wrong proposal; `copy`: nobody looked, the label is that of a near-duplicate or a track
ReviewSample = Literal["random", "queue", "audit", "copy"]
AUDIT: ReviewSample = "audit"
COPY: ReviewSample = "copy"


@dataclass(frozen=True)
class Record:
    """A kind of row: its name and its Arrow schema."""

    name: str
    schema: pa.Schema


@dataclass(frozen=True)
class RefusedError(Exception):
    """Why one entry is left out; becomes a reject row. `stated` are its attributes, where they could be read."""

    reason: RejectReason
    detail: str
    image: str | None = None
    source_id: str | None = None
    stated: Mapping[str, str] = field(default_factory=dict, compare=False)

    def at(
        self, image: str | None, source_id: str | None, stated: Mapping[str, str] = MappingProxyType({})
    ) -> "RefusedError":
        """Return the same refusal with the place where it happened, and what the entry states besides."""
        return RefusedError(self.reason, self.detail, image, source_id, stated)


INSTANCE = Record(
    "instance",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("image_path", pa.string(), nullable=False),
            pa.field("source_id", pa.string(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            *(pa.field(name, pa.float32(), nullable=False) for name in ("x", "y", "w", "h")),
            pa.field("segmentation", RLE),
            pa.field("given_raw", pa.string()),
            pa.field("given", pa.string()),
            pa.field("truth", pa.string()),
            pa.field("attributes", pa.map_(pa.string(), pa.string())),
            pa.field("track", pa.string()),  # the same for all boxes of one object of a clip; null without tracks
            pa.field("group", pa.string(), nullable=False),  # objects that belong together: `dataset.group_by`
            pa.field("split", pa.string()),
            pa.field("shard", pa.int32(), nullable=False),
        ]
    ),
)
BACKGROUND = Record(  # images without objects
    "background",
    pa.schema(
        [
            pa.field("image_path", pa.string(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
        ]
    ),
)
IMAGE = Record(  # what a dataset says of its images, in its own order
    "image",
    pa.schema(
        [
            pa.field("image_path", pa.string(), nullable=False),
            pa.field("place", pa.int32(), nullable=False),  # in the list of images of the dataset, from 0
            pa.field("source_id", pa.string()),  # the id of the image there; null without one
            pa.field("tags", pa.list_(pa.string())),
        ]
    ),
)
REJECT = Record(
    "reject",
    pa.schema(
        [
            pa.field("image_path", pa.string()),
            pa.field("source_id", pa.string()),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("detail", pa.string()),
        ]
    ),
)
CROP = Record(
    "crop",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),  # that of the instance
            pa.field(
                "reference_label", pa.string()
            ),  # the class of a reference object; null for the objects of the dataset
            pa.field("source", pa.string()),  # where a reference object comes from
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("image", pa.binary()),  # JPEG or PNG; null where only the place is stored
            pa.field("place", PLACE),  # px; right and bottom exclusive, width and height of the whole image
        ]
    ),
)
VOTE = Record(
    "vote",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("labeler", pa.string(), nullable=False),
            pa.field("label", pa.string()),
            pa.field("probabilities", pa.list_(pa.float32())),
            pa.field("log_p", pa.list_(pa.float32())),  # of each class, where a VLM scored its wordings
            pa.field("mass", pa.float32()),  # the probability that the answer is any of the classes at all
            pa.field("confidence", pa.float32()),
            pa.field("answer", pa.string()),
            pa.field("status", pa.string(), nullable=False),  # one of VoteStatus
            pa.field("fold", pa.int32()),  # of the labeler that learned nothing from this fold; null: learned elsewhere
        ]
    ),
)
GROUP = Record(  # which objects belong together, near-duplicates included, and the fold in which each is judged
    "group",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
            pa.field("fold", pa.int32()),  # null without folds, and for reference objects that are near no object
        ]
    ),
)
LESSON = Record(  # what labelers learn out of fold
    "lesson",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
            pa.field("fold", pa.int32()),  # nothing of it is learned by what judges this fold; null: all learn from it
            pa.field("given", pa.string()),
            pa.field("label", pa.string()),  # the class that the object teaches; null: none
            pa.field("trusted", pa.bool_(), nullable=False),  # the class is that of people or of the reference
        ]
    ),
)
DECISION = Record(
    "decision",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("given", pa.string()),
            pa.field("label", pa.string()),
            pa.field("posterior", pa.list_(pa.float32())),
            pa.field("confidence", pa.float32(), nullable=False),
            pa.field("score", pa.float64(), nullable=False),  # what the acceptance level is compared with; -1: never
            pa.field("agreement", pa.float32(), nullable=False),
            pa.field("n_votes", pa.int32(), nullable=False),
            pa.field("action", pa.string(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
        ]
    ),
)

FROZEN = Record(  # labels and scores of what nobody had seen when they were frozen, see `exact` in docs/consensus.md
    "frozen",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("label", pa.string()),
            pa.field("score", pa.float64(), nullable=False),
        ]
    ),
)
REVIEW = Record(
    "review",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("labeler", pa.string(), nullable=False),  # `human:<name>`
            pa.field("label", pa.string()),  # null: could not tell
            pa.field("sample", pa.string(), nullable=False),  # one of ReviewSample
            pa.field("probability", pa.float64()),  # the random sample is all objects with a smaller `review_fraction`
            pa.field("note", pa.string()),
            pa.field("decided_at", pa.string()),
            pa.field("view", pa.string()),  # `single` or `wall`: how the object was shown
            pa.field("seconds", pa.float32()),  # that the decision took; on a wall, the part of one object
        ]
    ),
)
QUEUE = Record(
    "queue",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("rank", pa.int32(), nullable=False),  # from 0, the order in which people should look
            pa.field("sample", pa.string(), nullable=False),  # one of ReviewSample
            pa.field("probability", pa.float64()),  # as in `review`; null for the queue
            pa.field("proposal", pa.string()),  # the class that is proposed; a wrong one in an audit
            pa.field("benefit", pa.float32(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),  # near-duplicates share the id of the first of them
        ]
    ),
)
ALIKE = Record(
    "alike",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),  # the object of the queue that is shown for it
            pa.field("kind", pa.string(), nullable=False),  # `track` or `near_duplicate`
        ]
    ),
)

SENT = Record(  # what `review export-to` handed over to another tool, so that `review import-from` knows what changed
    "sent",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("image_path", pa.string(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            *(pa.field(name, pa.float32(), nullable=False) for name in ("x", "y", "w", "h")),
            pa.field("mask_xywh", pa.list_(pa.float32(), 4)),  # the box around the mask, px; null without a mask
            pa.field("given", pa.string()),
            pa.field("proposal", pa.string()),  # the class that the queue proposes; a wrong one in an audit
            pa.field("label", pa.string()),  # the label that the box bore
            pa.field("sample", pa.string()),  # one of ReviewSample; null for an object outside of the queue
            pa.field("probability", pa.float64()),  # as in `queue`
        ]
    ),
)


def embedding(dimensions: int) -> Record:
    """Return the record of `dimensions`-long float16 feature vectors."""
    about = [CROP.schema.field(name) for name in ("instance_id", "image_id", "group", "reference_label", "source")]
    vector = pa.field("vector", pa.list_(pa.float16(), dimensions), nullable=False)
    return Record("embedding", pa.schema([*about, vector]))
