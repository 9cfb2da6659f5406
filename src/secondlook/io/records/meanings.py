"""What each kind of row is for, where its files lie and what its columns mean: docs/records.md is made of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from secondlook.io.records import schemas
from secondlook.io.records.schemas import Record


@dataclass(frozen=True)
class Meaning:
    """What a kind of row is, in which files it stands, mostly below `results/<task>/`, and its columns."""

    record: Record
    about: str
    files: str
    columns: Mapping[str, str]


_ID = {"instance_id": "The object: 80 bits as hexadecimal digits, the same on every machine."}
_GROUP = {"group": "The group that the object belongs to: its track, its image, or as `dataset.group_by` says."}
_SIZE = {"width": "Width of the whole image, px.", "height": "Height of the whole image, px."}
_BOX = {
    "x": "Left edge of the box, px from the left edge of the image.",
    "y": "Upper edge of the box, px from the upper edge of the image.",
    "w": "Width of the box, px.",
    "h": "Height of the box, px.",
}
_SAMPLE = (
    "`random`: drawn with a known probability, so that estimates hold. `queue`: chosen because a look seems useful. "
    "`audit`: shown again with a wrong proposal. `copy`: nobody looked; the label is that of a near-duplicate or track."
)
_CROPPED = {
    **_ID,
    "image_id": "The image of the object.",
    "group": "The group of the object.",
    "reference_label": "The class of a reference object; null for the objects of the dataset.",
    "source": "Where a reference object comes from; null for the objects of the dataset.",
}

MEANINGS = (
    Meaning(
        schemas.INSTANCE,
        "An object of the dataset, or of what labelers learn from.",
        "`ingest/instances.parquet`, `ingest/reference.parquet`, `ingest/shards/<shard>.parquet`",
        {
            **_ID,
            "image_id": "The image: objects with the same value lie in one image.",
            "image_path": "Path of the image, relative to the folder in which Snakemake runs.",
            "source_id": "The id of the object in the dataset.",
            **_SIZE,
            **_BOX,
            "segmentation": "Mask in COCO's run-length encoding (`size` is height, width); null without one.",
            "given_raw": "The label as the dataset writes it; null without one.",
            "given": "The class that `given_raw` stands for; null where it is none.",
            "truth": "The correct class, where it is known; no labeler sees it.",
            "attributes": "What else the dataset says of the object, as text by name.",
            "track": "The track: the same for all boxes of one object of a clip; null without tracks.",
            **_GROUP,
            "split": "`dataset`: labelers judge it. `reference`: the dataset's own reference. `source`: elsewhere.",
            "shard": "The part of the dataset in which it is processed, from 0.",
        },
    ),
    Meaning(
        schemas.IMAGE,
        "An image of the dataset, in the order of the dataset.",
        "`ingest/instances.images.parquet`",
        {
            "image_path": "Path of the image, as in `instance`.",
            "place": "Position in the dataset's list of images, from 0.",
            "source_id": "The id of the image in the dataset; null without one.",
            "tags": "Tags of the image in the dataset; null without tags.",
        },
    ),
    Meaning(
        schemas.BACKGROUND,
        "An image without objects: exports write it, too.",
        "`ingest/instances.background.parquet`",
        {"image_path": "Path of the image, as in `instance`.", **_SIZE},
    ),
    Meaning(
        schemas.REJECT,
        "An entry of the dataset that is left out, with the reason.",
        "`ingest/rejects.parquet`, `crop/<shard>.rejects.parquet`",
        {
            "image_path": "Path of the image, where it is known.",
            "source_id": "The id of the entry in the dataset, where it has one.",
            "reason": "Why it is left out; one of the words below.",
            "detail": "What exactly is wrong, for people.",
        },
    ),
    Meaning(
        schemas.CROP,
        "The pixels of one object, or where they are.",
        "`crop/<shard>.parquet`, `crop/reference.parquet`, `crop/cutout/<shard>.parquet`",
        {
            **_CROPPED,
            "width": "Width of the crop, px.",
            "height": "Height of the crop, px.",
            "image": "The crop as JPEG or PNG; null where only its place is stored.",
            "place": "Where the crop lies, px: right and bottom exclusive; width and height of the whole image.",
        },
    ),
    Meaning(
        schemas.GROUP,
        "Which objects belong together, near-duplicates included, and the fold in which each is judged.",
        "`crop/groups.parquet`",
        {
            **_ID,
            "group": "The group, near-duplicates joined.",
            "fold": "The fold, from 0; null without folds, and for reference objects that are near no object.",
        },
    ),
    Meaning(
        schemas.embedding(1),
        "The feature vector of a crop.",
        "`embed/<encoder>/<shard>.parquet`, `embed/<encoder>/reference.parquet`",
        {**_CROPPED, "vector": "The vector, as long as the encoder makes it."},
    ),
    Meaning(
        schemas.LESSON,
        "What labelers learn from an object, out of fold.",
        "`train/lessons.parquet`",
        {
            **_ID,
            "group": "The group, near-duplicates joined.",
            "fold": "What judges this fold learns nothing from the object; null: all learn from it.",
            "given": "The given label.",
            "label": "The class that the object teaches; null: none.",
            "trusted": "Whether the class is that of people or of the reference.",
        },
    ),
    Meaning(
        schemas.ASKED,
        "Whether a labeler is asked about an object, by the votes of others ([cascade](cascade.md)).",
        "`label/asked/<labeler>.parquet`",
        {
            **_ID,
            "asked": "Whether it is asked.",
            "why": "`doubtful`: the others are not sure, or too few of them answered. `disagree`: they name several "
            "classes. `random`: the random share alone asks; the others are sure, or surer than `at_most` leaves room "
            "for. Null where it is not asked.",
            "drawn": "Whether the object is in the random share, whatever else speaks for asking.",
            "label": "The best class of the others, without the given label of the object; null for none.",
            "confidence": "The probability of that class.",
        },
    ),
    Meaning(
        schemas.VOTE,
        "What one labeler says of one object.",
        "`label/<labeler>/<shard>.parquet`",
        {
            **_ID,
            "labeler": "Name of the labeler; `human:<name>` is a person.",
            "label": "The class it answered; null for an abstention, or where it was not asked.",
            "probabilities": "Probability of each class, in the order of the metadata; null without them.",
            "log_p": "Log-probability of each class, where a VLM scored its wordings; otherwise null.",
            "mass": "Probability that the answer is any of the classes at all; null where it is not known.",
            "confidence": "Probability of the label, as the labeler states it.",
            "answer": "The answer as text, of labelers that write; the error, where it failed.",
            "status": "Why there is a label or none; one of the words below.",
            "fold": "The fold from which the labeler learned nothing; null: it learned elsewhere, or not at all.",
        },
    ),
    Meaning(
        schemas.DECISION,
        "What the consensus decides about an object.",
        "`consensus/consensus.parquet`, `consensus/majority.parquet`",
        {
            **_ID,
            "given": "The given label.",
            "label": "The class that stands, a person's where one decided; a proposal where `action` is `review`.",
            "posterior": "Posterior of each class, in the order of the metadata.",
            "confidence": "The largest posterior; 1 where a person decided.",
            "score": "What is compared with the acceptance level; -1: it is never accepted.",
            "agreement": "Share of the answers that are the label.",
            "n_votes": "Number of answers; abstentions do not count.",
            "action": "`keep` the given label, `relabel`, or `review` by a person.",
            "reason": "Why, for people.",
        },
    ),
    Meaning(
        schemas.FROZEN,
        "The label and score of an object that nobody had seen when the scores were frozen.",
        "`epoch-NNN.parquet` in the folder of the decisions",
        {**_ID, "label": "The class, as in `decision`.", "score": "The score, as in `decision`."},
    ),
    Meaning(
        schemas.QUEUE,
        "An object that people should look at.",
        "`review/queue.parquet`",
        {
            **_ID,
            "rank": "Position in the review queue, from 0.",
            "sample": _SAMPLE,
            "probability": "With which probability the random sample holds the object; null for the queue.",
            "proposal": "The class that is proposed; a wrong one in an audit.",
            "benefit": "Probability that the label is wrong without a look, times the weight of rare classes.",
            "reason": "Why a look is useful, for people.",
            "group": "Near-duplicates share the id of the first of them.",
        },
    ),
    Meaning(
        schemas.ALIKE,
        "An object that is not shown, because another one of its track or a near-duplicate is.",
        "`review/alike.parquet`",
        {
            **_ID,
            "group": "The object of the queue that is shown for it.",
            "kind": "`track` or `near_duplicate`.",
        },
    ),
    Meaning(
        schemas.REVIEW,
        "What one person says of one object.",
        "`review/reviewed.parquet`",
        {
            **_ID,
            "labeler": "The person: `human:<name>`.",
            "label": "The class; null: the person could not tell.",
            "sample": _SAMPLE,
            "probability": "With which probability the random sample held the object; null outside of it.",
            "note": "What the person wrote beside it.",
            "decided_at": "When, as ISO 8601.",
            "view": "How the object was shown: `single` or `wall`.",
            "seconds": "What the decision took; on a wall, the part of one object.",
        },
    ),
    Meaning(
        schemas.SENT,
        "An object that was handed over to another tool, so that what comes back can be compared with it.",
        "a file for each batch in `sent`",
        {
            **_ID,
            "image_path": "Path of the image, as in `instance`.",
            **_SIZE,
            **_BOX,
            "mask_xywh": "The box around the mask, px; null without a mask.",
            "given": "The given label.",
            "proposal": "The class that the queue proposes; a wrong one in an audit.",
            "label": "The label that the box bore.",
            "sample": f"{_SAMPLE} Null for an object outside of the queue.",
            "probability": "As in `queue`.",
        },
    ),
)

REJECT_REASONS: Mapping[schemas.RejectReason, str] = {
    "missing_image": "The image file is not there.",
    "unreadable_image": "The image cannot be decoded.",
    "size_mismatch": "The image has another size than the dataset, or `ingest`, says.",
    "bad_name": "The name leads out of the folder of images, or is not UTF-8.",
    "unknown_image": "The image is none that the dataset lists, or cannot be told from others.",
    "ambiguous_image": "Two files could be the image.",
    "duplicate_id": "Another entry has the same id.",
    "bad_coordinates": "The coordinates are no numbers, or impossible.",
    "empty_box": "The box has no area.",
    "box_outside": "The box lies outside the image, or the mask is larger than the image.",
    "unknown_class": "The label stands for none of the classes.",
    "malformed": "The entry is not as its format says.",
    "no_box": "The entry is of a kind that has no box.",
    "not_selected": "The task does not select it, or its format marks it as something to ignore.",
    "no_mask": "The view needs a mask, and the object has none.",
}

VOTE_STATUSES: Mapping[schemas.VoteStatus, str] = {
    "answered": "The vote has a label.",
    "abstained": "The labeler gave no answer.",
    "low_mass": "A VLM wanted to say something that is none of the classes.",
    "unparsed": "The text of the answer names no class.",
    "failed": "The labeler failed; `answer` says how.",
    "unknown_class": "The given class was not in what the labeler learned from.",
    "not_asked": "The labeler was not asked, because others were sure: missing by design, and no abstention.",
}
