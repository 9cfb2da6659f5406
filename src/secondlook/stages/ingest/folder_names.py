"""What the names of folders say: which are splits, kinds of files or parts of a recording, and so are no classes."""

import re
from collections.abc import Collection

_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|[\W\d_]+")
_SPLITS = {"train", "training", "trn", "trainval", "val", "valid", "validation", "minival", "dev", "test", "testing"}
_SPLITS |= {"eval", "evaluation"}
_RARE_SPLITS = {"fold", "query", "gallery", "probe", "pred", "prediction", "predictions", "holdout", "tr", "ts"}
_RARE_SPLITS |= {"labeled", "labelled", "unlabeled", "unlabelled"}  # all of which may be classes, too
_IMAGES = {"image", "images", "img", "imgs", "jpegimages", "frames", "data", "dataset", "pictures", "photos"}
_ANNOTATIONS = {"mask", "masks", "label", "labels", "annotation", "annotations", "labeltxt"}
_WITH_SPLITS = {*_IMAGES, *_ANNOTATIONS, "set", "split", "a", "b", "bounding", "box", "full", "crops"}
_SET = re.compile(r"(?<=.)(?:set|split|data|images?|imgs?)$")
_SEQUENCE = re.compile(
    r"(?:video|vid|clip|movie|film|seq|sequence|scene|drive|trip|route|session|recording|rec|run|take|shot|episode|"
    r"camera|cam|view|frames?|images?|img|stream|sensor|batch|chunk|subset|shard|folder|part)s?"
    r"[\W_]*\d+(?:[\W_]*(?:sync|data|left|right|frames?))?",
    re.IGNORECASE,
)


def words(name: str) -> list[str]:
    """Return the words of a name in lower case: `trainImages_2` has `train` and `images`."""
    return [word.casefold() for word in _WORDS.split(name) if word]


def of_images(name: str) -> bool:
    """Tell whether a folder is called after the kind of its files, as `images` and `img_2` are."""
    found = words(name)
    return bool(found) and set(found) <= _IMAGES | _ANNOTATIONS


def is_split(name: str) -> bool:
    """Tell whether a folder is called like a split, as `train`, `val2017` and `test_images` are."""
    return _is_split(name, _SPLITS)


def are_splits(names: Collection[str]) -> bool:
    """Tell whether folders are the splits of one set: `test` and `val`, `fold1` and `fold2`, `sea_train` and
    `sea_test`.

    Where other words tell folders apart, the words of splits must, too: `blood_test` and `urine_test` are no splits.
    """
    every = _SPLITS | _RARE_SPLITS
    if all(_is_split(name, every) for name in names):
        return True
    marks = [frozenset(map(_without_set, words(name))) & every for name in names]
    return all(marks) and (len(names) == 1 or len(set(marks)) > 1)


def is_sequence(name: str) -> bool:
    """Tell whether a folder is called like a video, a camera or a part of a recording, with its number."""
    return _SEQUENCE.fullmatch(name) is not None


def is_no_class(name: str) -> bool:
    """Tell whether a folder is called after a split or the kind of its files."""
    return of_images(name) or is_split(name)


def _is_split(name: str, splits: Collection[str]) -> bool:
    found = set(map(_without_set, words(name)))
    return bool(found & set(splits)) and found <= _WITH_SPLITS | set(splits)


def _without_set(word: str) -> str:
    """Return `train` of `trainset` and `traindata`."""
    return _SET.sub("", word)
