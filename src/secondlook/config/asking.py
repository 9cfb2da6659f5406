"""Who may decide on which objects a labeler is asked: labelers that are blind to the given label, without a circle."""

from collections.abc import Iterator, Mapping

from pydantic_core import PydanticCustomError

from secondlook.config.labelers.base import Labeler

_SEES = {"given", "majority", "consensus"}  # names of what has seen the given label, or what people said


def require_askable(labelers: Mapping[str, Labeler]) -> None:
    """Raise an error at its place in the config for an `ask` that cannot be."""
    for name, labeler in labelers.items():
        for complaint in _complaints(name, labeler, labelers):
            key = "of" if labeler.ask is not None and labeler.ask.where.of else "disagree"
            raise PydanticCustomError("ask", complaint, {"loc": ("labelers", name, "ask", "where", key)})


def _complaints(name: str, labeler: Labeler, labelers: Mapping[str, Labeler]) -> Iterator[str]:
    where = None if labeler.ask is None else labeler.ask.where
    if where is None:
        return
    for other in where.labelers:
        if other in _SEES or other.startswith("human"):
            yield (
                f"`{other}` has seen the given label or what people said; an object that is left out because its given "
                "label agrees would mislead the merge, so name labelers that look at the object alone"
            )
        elif other == name:
            yield f"`{name}` cannot decide whether it is asked itself; name other labelers"
        elif other not in labelers:
            yield f"`{other}` is not under `labelers` (entries: {', '.join(labelers)})"
        elif name in _before(other, labelers):
            yield f"`{other}` is itself asked only after `{name}`; one of the two must come first"
    if where.below is not None and not any(labelers[other].gives_probabilities for other in where.labelers):
        yield "`below` needs a labeler that gives probabilities, and these only name classes; use `disagree`"


def _before(name: str, labelers: Mapping[str, Labeler]) -> set[str]:
    """Return the labelers whose votes must be there before one is asked."""
    found: set[str] = set()
    left = [name]
    while left:
        labeler = labelers.get(left.pop())
        new = set() if labeler is None or labeler.ask is None else {*labeler.ask.where.labelers} - found
        found |= new
        left += sorted(new)
    return found
