"""The ids met so far in a file of millions: a bit for each whole number, a text for others."""

from dataclasses import dataclass, field

_MOST = 2**27  # 16 MB of bits


@dataclass
class SeenIds:
    """Ids of which 3 and "3" are one."""

    bits: bytearray = field(default_factory=bytearray)
    others: set[str] = field(default_factory=set)

    def meets(self, own: int | str) -> bool:
        """Note an id; tell whether it was noted before."""
        number = own if isinstance(own, int) else _number(own)
        if number is None or not 0 <= number < _MOST:
            text = str(own)
            known = text in self.others
            self.others.add(text)
            return known
        place, bit = number >> 3, 1 << (number & 7)
        if place >= len(self.bits):
            self.bits.extend(bytes(place + 1 - len(self.bits)))
        known = bool(self.bits[place] & bit)
        self.bits[place] |= bit
        return known


def _number(text: str) -> int | None:
    """Return the number whose text this is; None for `03`, which is another id than 3."""
    plain = text.isascii() and text.isdecimal() and len(text) < len(str(_MOST)) and (text == "0" or text[0] != "0")
    return int(text) if plain else None
