"""When a labeler is asked: on which objects, by the votes of other labelers."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from secondlook.base.yamlfile import Strict

USUAL_RANDOM = 0.02
SUREST = 0.995  # the best class of others is hardly ever more probable: 1 - `noise_channel.LOST`


def _list(names: Any) -> Any:
    if isinstance(names, str):
        raise ValueError(f"must be a list: `[{names}]`")
    return names


def _once(names: list[str]) -> list[str]:
    if not names:
        raise ValueError("names nobody; name at least one labeler")
    if again := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"names `{again}` twice; name each labeler once")
    return names


def _several(names: list[str]) -> list[str]:
    if len(names) == 1:
        raise ValueError(f"`{names[0]}` alone cannot disagree; name two labelers or more")
    return names


# which names are right is told with all labelers at hand
Labelers = Annotated[list[str], BeforeValidator(_list), AfterValidator(_once)]


class Where(Strict):
    """The objects that other labelers leave in doubt: `below` with `of`, or `disagree`."""

    below: float | None = Field(None, gt=0, lt=1)
    """Where the best class of the labelers in `of` is less probable than this, by their votes alone."""
    of: Labelers | None = None
    """Names of the labelers whose votes decide with `below`."""
    disagree: Annotated[Labelers, AfterValidator(_several)] | None = None
    """Where these labelers do not all name the same class."""

    @model_validator(mode="after")
    def _one_rule(self) -> "Where":
        if (self.disagree is None) == (self.below is None):
            raise ValueError("give either `below` with `of`, or `disagree`")
        if (self.below is None) != (self.of is None):
            raise ValueError("`below` and `of` go together: whose best class is less probable")
        return self

    @property
    def labelers(self) -> list[str]:
        """The labelers whose votes decide, each once."""
        return list(dict.fromkeys(self.of or self.disagree or []))


class AskOptions(Strict):
    """Which objects a labeler is asked about; the others get votes `not_asked` (docs/cascade.md)."""

    where: Where
    """The objects in doubt."""
    at_most: float | None = Field(None, gt=0, le=1)
    """Largest share of all objects that is asked, `random` included: the most doubtful of each fold
    first. Left out, no limit."""
    random: float = Field(0.0, ge=0, lt=1)
    """Share of all objects, drawn by a hash of their ids, that is asked whatever the others say: what the labeler is
    worth can be told from these alone."""

    @model_validator(mode="after")
    def _room_for_doubt(self) -> "AskOptions":
        if self.at_most is not None and self.random >= self.at_most:
            raise ValueError(f"`random: {self.random:g}` leaves no room below `at_most: {self.at_most:g}`")
        return self

    @model_validator(mode="after")
    def _some_left_out(self) -> "AskOptions":
        if self.at_most is None and (self.where.below or 0) > SUREST:
            raise ValueError(
                f"`where.below: {self.where.below:g}` asks about nearly everything, because others together are never "
                f"surer than about {SUREST:g}; lower it, or give `at_most` too"
            )
        return self

    @property
    def most(self) -> float:
        """The largest share of the objects that is asked."""
        return 1.0 if self.at_most is None else self.at_most


def more_random(at_most: float | None, random: float = 0.0) -> float:
    """Return a larger random share to try in a rule with this `at_most` and `random`; the rule leaves room for it."""
    room = 1.0 if at_most is None else at_most
    return min(max(USUAL_RANDOM, 2 * random), (random + room) / 2)
