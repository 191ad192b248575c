"""How a length is cut into factors."""

import math
from dataclasses import dataclass

SIDE = 64
SHORT = SIDE * SIDE
# Outer points of one table; two halves serve twice as many.
OUTER_SIDE = 128
# Tiles [A, B] of a row, the first whose outer transform needs one table: the smaller, the quicker.
ROW_TILES = (SIDE // 2, SIDE // 2), (SIDE, SIDE // 2), (SIDE, SIDE)
# More outer points than the fewest that are tried, for the least padding.
OUTERS_TRIED = 8
LONGEST = 2 * OUTER_SIDE * SHORT
SHORTEST = 16
# Complex values of one chunk of channels that the passes over a long sequence hand on: 1 GiB in `fast`.
CHUNK_ELEMENTS = 2**28


def table_scale(points: int) -> float:
    """The power of two nearest to 1 / sqrt(points).

    A DFT table with it is almost unitary, and its ones are exact in fp16: a rounded 1 / sqrt(n) in all of them would
    be an error of the whole result.
    """
    return 2.0 ** -round(math.log2(points) / 2)


@dataclass(frozen=True)
class Factors:
    """N = outer · height · width points, not below the length: N is at most 6 % longer above 1,280.

    Attributes:
        outer: points of the outer transform, 1 for a short sequence, which is one tile.
        halves: 2 where the outer transform takes a butterfly more.
        height: points of a tile's left DFT, at most 64.
        width: points of its right DFT, a power of two up to 64.
    """

    outer: int
    halves: int
    height: int
    width: int

    @property
    def inner(self) -> int:
        """Points of a row."""
        return self.height * self.width

    @property
    def points(self) -> int:
        """All points, N."""
        return self.outer * self.inner

    @property
    def gain(self) -> float:
        """What the scaled tables leave out: those of two forward transforms and an inverse one."""
        scale = table_scale(self.outer) * table_scale(self.height) * table_scale(self.width)
        return 1 / (scale**3 * self.points)

    @property
    def lines(self) -> int:
        """The side of a row's left table."""
        return SIDE // 2 if self.height <= SIDE // 2 else SIDE

    @property
    def side(self) -> int:
        """The side of the outer table, and the lines of a tile of columns."""
        return SIDE if self.outer // self.halves <= SIDE else OUTER_SIDE

    @property
    def packed(self) -> int:
        """Sequences whose outer points make one tile of columns."""
        return self.side // (self.outer // self.halves)


def factors_of(length: int) -> Factors:
    """The factors for a length from 16 to 2^20.

    Raises ValueError outside.
    """
    if not SHORTEST <= length <= LONGEST:
        raise ValueError(f"length {length:,} is outside {SHORTEST} to {LONGEST:,}; take the torch backend")
    if length <= SHORT:
        width = max(1, 1 << (-(-length // SIDE) - 1).bit_length())
        return Factors(1, 1, -(-length // width), width)
    lines, width = next((tile for tile in ROW_TILES if length <= SIDE * tile[0] * tile[1]), ROW_TILES[-1])
    least = -(-length // (lines * width))
    halves = 2 if least > SIDE else 1
    most = min(least + OUTERS_TRIED, SIDE if halves == 1 else 2 * OUTER_SIDE)
    fitting = (_long_factors(length, outer, halves, width) for outer in range(least, most + 1))
    return min(fitting, key=lambda factors: factors.points)


def _long_factors(length: int, outer: int, halves: int, width: int) -> Factors:
    outer += outer % halves
    height = -(-length // (outer * SIDE)) * (SIDE // width)  # rows of whole column tiles
    return Factors(outer, halves, height, width)
