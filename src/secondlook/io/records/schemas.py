"""The rows that stages exchange: their names, their Arrow schemas, and the words in their columns.

`meanings` beside this file says what each column means.
"""

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
# `unknown_class`: the given class was not in what the labeler learned from;
# `not_asked`: the labeler was not asked, because others were sure: missing by design, never an abstention
VoteStatus = Literal["answered", "abstained", "low_mass", "unparsed", "failed", "unknown_class", "not_asked"]
NOT_ASKED: VoteStatus = "not_asked"

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
            pa.field("track", pa.string()),
            pa.field("group", pa.string(), nullable=False),
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
            pa.field("place", pa.int32(), nullable=False),
            pa.field("source_id", pa.string()),
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
            pa.field("group", pa.string(), nullable=False),
            pa.field("reference_label", pa.string()),
            pa.field("source", pa.string()),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("image", pa.binary()),
            pa.field("place", PLACE),
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
            pa.field("log_p", pa.list_(pa.float32())),
            pa.field("mass", pa.float32()),
            pa.field("confidence", pa.float32()),
            pa.field("answer", pa.string()),
            pa.field("status", pa.string(), nullable=False),
            pa.field("fold", pa.int32()),
        ]
    ),
)
ASKED = Record(  # whether a labeler is asked about each object, by the votes of others
    "asked",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("asked", pa.bool_(), nullable=False),
            pa.field("why", pa.string()),  # `doubtful`, `disagree` or `random`; null where it is not asked
            pa.field("drawn", pa.bool_(), nullable=False),  # in the random share, whatever else speaks for asking
            pa.field("label", pa.string()),  # the best class of the others, without the given label; null for none
            pa.field("confidence", pa.float32(), nullable=False),  # the probability of that class
        ]
    ),
)
GROUP = Record(  # which objects belong together, near-duplicates included, and the fold in which each is judged
    "group",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
            pa.field("fold", pa.int32()),
        ]
    ),
)
LESSON = Record(  # what labelers learn out of fold
    "lesson",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
            pa.field("fold", pa.int32()),
            pa.field("given", pa.string()),
            pa.field("label", pa.string()),
            pa.field("trusted", pa.bool_(), nullable=False),
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
            pa.field("score", pa.float64(), nullable=False),
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
            pa.field("labeler", pa.string(), nullable=False),
            pa.field("label", pa.string()),
            pa.field("sample", pa.string(), nullable=False),
            pa.field("probability", pa.float64()),
            pa.field("note", pa.string()),
            pa.field("decided_at", pa.string()),
            pa.field("view", pa.string()),
            pa.field("seconds", pa.float32()),
        ]
    ),
)
QUEUE = Record(
    "queue",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("rank", pa.int32(), nullable=False),
            pa.field("sample", pa.string(), nullable=False),
            pa.field("probability", pa.float64()),
            pa.field("proposal", pa.string()),
            pa.field("benefit", pa.float32(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
        ]
    ),
)
ALIKE = Record(
    "alike",
    pa.schema(
        [
            pa.field("instance_id", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
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
            pa.field("mask_xywh", pa.list_(pa.float32(), 4)),
            pa.field("given", pa.string()),
            pa.field("proposal", pa.string()),
            pa.field("label", pa.string()),
            pa.field("sample", pa.string()),
            pa.field("probability", pa.float64()),
        ]
    ),
)


def embedding(dimensions: int) -> Record:
    """Return the record of `dimensions`-long float16 feature vectors."""
    about = [CROP.schema.field(name) for name in ("instance_id", "image_id", "group", "reference_label", "source")]
    vector = pa.field("vector", pa.list_(pa.float16(), dimensions), nullable=False)
    return Record("embedding", pa.schema([*about, vector]))
