"""`sl.label_errors`: given labels that look wrong."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.api.frames import ITEM, Column, Frame, Table, as_text, original, require_common
from secondlook.api.merging import Cast
from secondlook.base.errors import DataError, UsageError
from secondlook.base.yamlfile import validate
from secondlook.config.stages import ConsensusOptions, MethodName
from secondlook.stages.evaluate.tables import suspicion_table
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.votes import Reviewed
from secondlook.stats.label_errors import suspect

SLACK = 0.01  # by which probabilities may miss the sum of 1: rounded ones do


def label_errors(
    given: Table, *, probabilities: Table | None = None, votes: Table | None = None, method: MethodName = "auto"
) -> pd.DataFrame:
    """Rank given labels by how wrong they look, by confident learning (Northcutt et al., JAIR 70, 2021).

    `secondlook evaluate` ranks the labels of a run by the same code; its table is
    `sl.open(results).table("label_errors")`. Probabilities and votes must come from what did not learn from the given
    labels of the same items: a classifier that was trained on them repeats their errors.

    Args:
        given: Columns `item` (or `instance_id`) and `given` (or `label`). Items without a label are left out.
        probabilities: A column `item` (or `instance_id`), and a column per class with its probability; rows sum to 1.
        votes: In place of probabilities: columns `item`, `worker` and `label`, as for `sl.consensus`, which are merged
            without the given labels.
        method: How votes are merged.

    Returns:
        A row per item with a given label and with probabilities or votes, the most suspicious first.

            - `rank`: from 1
            - `item`: as in `given`
            - `given`: its label
            - `suggested`: the label that the evidence suggests
            - `quality`: (p_given - max of the others + 1) / 2; near 0 the label looks wrong; this ranks the items
            - `flagged`: whether the item looks wrong enough to be one of the errors
            - `n`: items with the same given label
            - `threshold`: the mean probability of that class on them, from which on it counts as likely

    Raises:
        DataError: A column is missing, an item occurs twice, a given label has no column of probabilities, or no item
            of `given` is in the other table.
        UsageError: Both or none of `probabilities` and `votes` are given.

    Examples:
        >>> import pandas as pd
        >>> import secondlook as sl
        >>> given = pd.DataFrame({"item": ["a", "b", "c", "d"], "given": ["cat", "cat", "dog", "cat"]})
        >>> p = pd.DataFrame({"item": ["a", "b", "c", "d"], "cat": [0.9, 0.8, 0.2, 0.1], "dog": [0.1, 0.2, 0.8, 0.9]})
        >>> found = sl.label_errors(given, probabilities=p)
        >>> found[["item", "given", "suggested", "quality", "flagged"]]
          item given suggested  quality  flagged
        0    d   cat       dog      0.1     True
        1    b   cat       cat      0.8    False
        2    c   dog       dog      0.8    False
        3    a   cat       cat      0.9    False
    """
    evidence = _one_of(probabilities, votes)
    table = Frame.of("given", given)
    item, label = table.column(ITEM, filled=True), table.column(("given", "label"))
    table.once(("item", item))
    own, known = evidence.column(ITEM, filled=True).coded.texts, item.coded
    require_common(("given", [known.texts[code] for code in known.code[~label.empty]]), (evidence.name, own))
    if votes is not None:
        rows, names, posterior = _by_votes(item, label, votes, method)
    else:
        rows, names, posterior = _by_probabilities(item, evidence)
    checked = (rows >= 0) & ~label.empty
    positions = _classes_of(table, label, names, checked)
    places = np.flatnonzero(checked)
    found = suspicion_table(suspect(posterior[rows[places]], positions[places]), positions[places], names)
    texts = [item.coded.texts[code] for code in item.coded.code[places[found.pop("place")]]]
    found.insert(1, "item", original(texts, item))
    named = {name: original(found[name].astype(str), label) for name in ("given", "suggested")}
    return found.assign(**named, flagged=found["flagged"].astype(bool))


def _one_of(probabilities: Table | None, votes: Table | None) -> Frame:
    """Return the one of them that is given; raises UsageError for both or none."""
    if probabilities is not None and votes is None:
        return Frame.of("probabilities", probabilities)
    if votes is not None and probabilities is None:
        return Frame.of("votes", votes)
    raise UsageError("label_errors: give either `probabilities` or `votes`.")


def _classes_of(table: Frame, label: Column, names: list[str], checked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the class of each given label, (rows,); raises DataError where one that is checked has none."""
    position = {name: index for index, name in enumerate(names)}
    classes = np.array([position.get(text, -1) for text in label.coded.texts], dtype=np.int64)[label.coded.code]
    unknown = checked & (classes < 0)
    if unknown.any():
        row = int(unknown.argmax())
        text = label.coded.texts[label.coded.code[row]]
        raise DataError(f"{table.place(row)}: its label `{text}` has no column of probabilities ({', '.join(names)}).")
    return classes


def _by_votes(
    item: Column, label: Column, votes: Table, method: MethodName
) -> tuple[NDArray[np.int64], list[str], NDArray[np.float64]]:
    """Return the row of the posterior of each item, -1 for none, the classes, and the posterior of the votes."""
    ballots = Cast.of(votes).ballots(label.coded.texts)
    options = validate(ConsensusOptions, {"method": method}, source="label_errors")
    merged = merge(ballots.votes, options.method, Reviewed.none(len(ballots.items)), options)
    answered = ballots.votes.per_object() > 0
    row = {name: index for index, name in enumerate(ballots.items) if answered[index]}
    return _rows(item, row), ballots.labels, merged.posterior


def _by_probabilities(item: Column, table: Frame) -> tuple[NDArray[np.int64], list[str], NDArray[np.float64]]:
    """Return the same of a table of probabilities."""
    own = table.column(ITEM, filled=True)
    table.once(("item", own))
    columns = [name for name in table.table.columns if name != table.series(ITEM).name]
    if not columns:
        raise DataError(f"{table.name}: has no column of a class beside its items.")
    names = [as_text(name) for name in columns]
    twice = next((name for number, name in enumerate(names) if not name or name in names[:number]), None)
    if twice is not None:
        raise DataError(f"{table.name}: has several columns of class `{twice}`, or one without a name; rename them.")
    values = np.column_stack([table.numbers((name,)) for name in columns])
    odd = (values < 0).any(axis=1) | (abs(values.sum(axis=1) - 1) > SLACK)
    if odd.any():
        row = int(odd.argmax())
        raise DataError(f"{table.place(row)}: its probabilities sum to {values[row].sum():.3g}, or one is below 0.")
    row_of = {own.coded.texts[code]: index for index, code in enumerate(own.coded.code)}
    return _rows(item, row_of), names, values


def _rows(item: Column, row_of: dict[str, int]) -> NDArray[np.int64]:
    return np.array([row_of.get(text, -1) for text in item.coded.texts], dtype=np.int64)[item.coded.code]
