"""Changes of files that any kind of text can suffer: cut, flipped, spliced, lines twice."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spot:
    """A text, two places in it in order, its lines, and the number of one of them."""

    text: bytes
    at: int
    end: int
    lines: list[bytes]
    line: int


def mutated(text: bytes, chance: random.Random, own: Callable[[int, Spot, random.Random], bytes], cases: int) -> bytes:
    """One to three changes: five that any text can suffer, and ``cases`` more, which ``own`` makes by their number."""
    for _ in range(chance.randint(1, 3)):
        text = text or b"x"
        at, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        lines = text.split(b"\n")
        line = chance.randrange(len(lines))
        match chance.randrange(5 + cases):
            case 0:
                text = text[:at]
            case 1:
                text = text[:at] + bytes([chance.randrange(256)]) + text[at + 1 :]
            case 2:
                text = text[:at] + chance.randbytes(chance.randint(1, 8)) + text[at:]
            case 3:
                text = text[:at] + text[end:]
            case 4:
                lines.insert(chance.randrange(len(lines) + 1), lines[line])
                text = b"\n".join(lines)
            case case:
                text = own(case - 5, Spot(text, at, end, lines, line), chance)
    return text
