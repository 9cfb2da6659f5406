"""The labels of an export in the wordings of its dataset."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base.taxonomy import Taxonomy


def wordings(table: pa.Table, taxonomy: Taxonomy) -> Mapping[str, str]:
    """Return the wording of each class that most objects of the dataset have: the one that its other tools expect."""
    tallies: dict[str, Counter[str]] = {name: Counter() for name in taxonomy.classes}
    for entry in pc.value_counts(table["given_raw"].combine_chunks()).to_pylist():
        resolved = taxonomy.resolve(entry["values"]) if entry["values"] else None
        if resolved is not None:
            tallies[resolved][entry["values"]] = entry["counts"]
    return {name: max(sorted(tally), key=tally.__getitem__, default=name) for name, tally in tallies.items()}


def in_wordings(table: pa.Table, taxonomy: Taxonomy) -> pa.ChunkedArray:
    """Return the final label of each object as the dataset would word it: unchanged unless it is a new one."""
    words = wordings(table, taxonomy)
    labels = table["label"].combine_chunks().dictionary_encode()
    worded = pa.array([words.get(name, name) for name in labels.dictionary.to_pylist()], pa.string())
    new = pa.DictionaryArray.from_arrays(labels.indices, worded).cast(pa.string())
    return pc.if_else(pc.equal(table["action"], "relabel"), new, pc.coalesce(table["given_raw"], table["given"]))
