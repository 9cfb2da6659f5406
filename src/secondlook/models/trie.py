"""The tree of all allowed answers: shared beginnings once, so that one forward pass scores them all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64

Ints = NDArray[np.int64]
ROOT = -1


@dataclass(frozen=True)
class Trie:
    """Answers as token sequences, merged where they share their beginning.

    Nodes are the beginnings after which another token follows; the root, the end of the prompt, is `ROOT`. `tokens`,
    `depth` (from 1) and `sees` (nodes, nodes; itself and its ancestors) describe them in an order in which
    parents come first. Edges are the steps of all answers: `edge_from` (a node or `ROOT`), `edge_token`, `edge_to`
    (a node, or `ROOT` where an answer ends). `steps` (answers, edges) is 1 where an answer takes a step;
    `position` (answers,) is the class of each.
    """

    tokens: Ints
    depth: Ints
    sees: NDArray[np.bool_]
    edge_from: Ints
    edge_token: Ints
    edge_to: Ints
    steps: NDArray[np.bool_]
    position: Ints
    classes: int

    @classmethod
    def of(cls, answers: Sequence[tuple[Sequence[int], int]], classes: int) -> "Trie":
        """Make the tree of (tokens, class) pairs; no answer is a beginning of another once its end is a token."""
        inner = {tuple(tokens[:length]) for tokens, _ in answers for length in range(1, len(tokens))}
        nodes = sorted(inner, key=lambda node: (len(node), node))
        place = {node: index for index, node in enumerate(nodes)} | {(): ROOT}
        edges = sorted({tuple(tokens[:length]) for tokens, _ in answers for length in range(1, len(tokens) + 1)})
        number = {edge: index for index, edge in enumerate(edges)}
        steps = np.zeros((len(answers), len(edges)), dtype=np.bool_)
        for row, (tokens, _) in enumerate(answers):
            steps[row, [number[tuple(tokens[:length])] for length in range(1, len(tokens) + 1)]] = True
        sees = np.eye(len(nodes), dtype=np.bool_)
        for index, node in enumerate(nodes):
            if len(node) > 1:
                sees[index] |= sees[place[node[:-1]]]
        return cls(
            tokens=_ints(node[-1] for node in nodes),
            depth=_ints(len(node) for node in nodes),
            sees=sees,
            edge_from=_ints(place[edge[:-1]] for edge in edges),
            edge_token=_ints(edge[-1] for edge in edges),
            edge_to=_ints(place.get(edge, ROOT) for edge in edges),
            steps=steps,
            position=_ints(position for _, position in answers),
            classes=classes,
        )

    def answer(self, number: int) -> tuple[list[int], int]:
        """Return the tokens and the class of an answer, as they were given."""
        # edges are sorted as sequences, so those of one answer are in the order of its steps
        return self.edge_token[self.steps[number]].tolist(), int(self.position[number])

    def class_log_p(self, edge_log_p: Floats64) -> Floats64:
        """Return log P(class) (..., classes): the answers of a class add up; -inf for a class without one.

        `edge_log_p` (..., edges) is log P(token | prompt and the steps before it).
        """
        return self._add_up(self._answer_log_p(edge_log_p))

    def choose(self, edge_log_p: Floats64) -> tuple[int, Floats64]:
        """Decode greedily among the answers; return the answer and log P(class) (classes,) of that way of choosing.

        `edge_log_p` (edges,). At every node only the tokens that lead to an answer count and share probability 1.
        """
        local = edge_log_p.copy()
        for node in np.unique(self.edge_from):
            here = self.edge_from == node
            local[here] -= np.logaddexp.reduce(local[here])
        node, taken = ROOT, np.zeros(len(local), dtype=np.bool_)
        while not taken.any() or node != ROOT:
            options = np.flatnonzero(self.edge_from == node)
            best = options[np.argmax(local[options])]
            taken[best], node = True, int(self.edge_to[best])
        (answer,) = np.flatnonzero((self.steps == taken).all(axis=1))
        return int(answer), self._add_up(self._answer_log_p(local))

    def _answer_log_p(self, edge_log_p: Floats64) -> Floats64:
        return np.asarray(np.where(self.steps, edge_log_p[..., None, :], 0.0).sum(axis=-1))

    def _add_up(self, answer_log_p: Floats64) -> Floats64:
        class_log_p = np.full((*answer_log_p.shape[:-1], self.classes), -np.inf)
        for position in np.unique(self.position):
            class_log_p[..., position] = np.logaddexp.reduce(answer_log_p[..., self.position == position], axis=-1)
        return class_log_p


def _ints(values: object) -> Ints:
    return np.fromiter(values, dtype=np.int64)  # type: ignore[call-overload,no-any-return]
