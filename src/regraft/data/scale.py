"""Find the one scale on which the values of all pictures are shown; values that measure nothing do not stretch it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regraft.data.numbers import Array, Numbers, Range

OUTLIERS = 0.001
"""Share of a picture's values at either end that may be faults, such as hot pixels."""

FAR = 4
"""A gap between values that is so many times as wide as all values on its one side parts them from its other side."""

FEW_CODES = 3
"""Different values beyond a gap that are taken for codes, such as -9999 for no data, however frequent they are."""

FEWEST_VALUES = 16
"""Different values that a camera or scanner gives at least; among fewer, as in a mask, none is out of place."""

TOPS = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
"""Where scales of reals usually end; values that reach beyond the half of one are meant on it."""

SAMPLED = 10**6  # values of a picture that are put in order, evenly spaced: the outliers of more are no others

KEPT = 33  # of these, besides those near the ends: the values of all pictures are held together


@dataclass(frozen=True, eq=False)
class Sight:
    """What the numbers of one picture of more than 8 bits are."""

    kind: str  # numpy's: u, i or f
    values: NDArray[np.float64]  # a sorted sample without repeats, denser towards the ends; both ends are in it
    inner: Range  # without the share of outliers at either end
    holes: int = 0  # values that are no numbers
    infinite: int = 0
    window: Range | None = None  # the values that the file wants shown

    @property
    def low(self) -> float:
        """The lowest value."""
        return float(self.values[0])

    @property
    def high(self) -> float:
        """The highest value."""
        return float(self.values[-1])

    def spread_within(self, limits: Range) -> float:
        """Return how far the values, but for outliers, lie apart where what is outside of some limits is cut off."""
        low, high = np.clip(self.inner, *limits)
        return float(high - low)


@dataclass(frozen=True)
class Scale:
    """The values that become black and white, and what measures nothing."""

    shown: Range
    core: Range  # the lowest and highest value that was measured
    faults: tuple[float, ...] = ()  # values far outside of it: codes for no data, hot pixels


def sight_of(numbers: Numbers, values: Array) -> Sight | None:
    """Return what the numbers of a picture are; None where none is a finite number."""
    flat = np.asarray(values).reshape(-1)
    holes = infinite = 0
    if flat.dtype.kind == "f":
        known = np.isfinite(flat)
        holes = int(np.count_nonzero(np.isnan(flat)))
        infinite = len(flat) - int(np.count_nonzero(known)) - holes
        flat = flat[known] if holes or infinite else flat
    if not len(flat):
        return None
    some = np.sort(flat[:: -(-len(flat) // SAMPLED)])
    at = round(OUTLIERS * (len(some) - 1))
    different = np.unique(some)  # a code for no data is then one place, and the value beside it is not passed over
    sample = np.unique([*different[_ranks(len(different))].astype("f8"), float(flat.min()), float(flat.max())])
    return Sight(flat.dtype.kind, sample, (float(some[at]), float(some[-1 - at])), holes, infinite, numbers.window)


def _ranks(count: int) -> NDArray[np.int64]:
    """Return places in a sorted list: evenly spaced, and at either end 1, 2, 4, 8 … from it."""
    near = 2 ** np.arange(count.bit_length() - 1)
    return np.concatenate([np.linspace(0, count - 1, KEPT).astype(np.int64), near, count - 1 - near])


def scale_of(deep: Sequence[Sight]) -> Scale | None:
    """Return the values that are shown black and white, of all pictures together; None where there are none.

    Whole numbers from 0 end where their bits do: of 12 bits at 4095. Reals end at the largest value, or where scales of
    reals usually do. Where every file asks for a window, as DICOM does, the scale holds all of these.
    """
    if not deep:
        return None
    core, faults = _without_faults(deep)
    windows = [sight.window for sight in deep if sight.window]
    if len(windows) == len(deep):
        return Scale((min(low for low, _ in windows), max(high for _, high in windows)), core)
    return Scale(_rounded(*core, whole=all(sight.kind in "iu" for sight in deep)), core, faults)


def _without_faults(deep: Sequence[Sight]) -> tuple[Range, tuple[float, ...]]:
    """Return the lowest and highest value that was measured, and what lies far outside of these.

    A value is far outside where nothing lies in a wide gap before it. It is a fault where such values are a few in each
    picture, as hot pixels are, or the same few everywhere, as codes for no data are. Other pictures in other units
    beyond a gap are none: these are said, and shown.
    """
    values = np.unique(np.concatenate([sight.values for sight in deep]))
    first, last = _dense(values)
    low, high = float(values[first]), float(values[last])
    if first > FEW_CODES and min(sight.inner[0] for sight in deep) < low:
        first = 0
    if len(values) - 1 - last > FEW_CODES and max(sight.inner[1] for sight in deep) > high:
        last = len(values) - 1
    faults = (*values[:first].tolist(), *values[last + 1 :].tolist())
    return (float(values[first]), float(values[last])), faults


def _dense(values: NDArray[np.float64]) -> tuple[int, int]:
    """Return the first and last place of sorted values that can be reached from their middle without a wide gap."""
    first, last = len(values) // 4, 3 * len(values) // 4
    if len(values) < FEWEST_VALUES:
        return 0, len(values) - 1
    with np.errstate(over="ignore"):  # reals of 64 bits may lie further apart than such can say
        while True:
            before = first, last
            last = _reached(values, last, first)
            first = len(values) - 1 - _reached(-values[::-1], len(values) - 1 - first, len(values) - 1 - last)
            if before == (first, last):
                return before


def _reached(values: NDArray[np.float64], last: int, first: int) -> int:
    """Return the last place before a gap that is many times as wide as all values up to it from the first place."""
    gaps, widths = np.diff(values[last:]), values[last:-1] - values[first]
    wide = np.flatnonzero(gaps > FAR * widths)
    return last + int(wide[0]) if len(wide) else len(values) - 1


def _rounded(low: float, high: float, *, whole: bool) -> Range:
    if whole and low >= 0:
        return 0.0, float(2 ** max(1, int(high).bit_length()) - 1)
    if not whole and low >= 0:
        return 0.0, next((top for top in TOPS if top / 2 < high <= top), high) or 1.0
    if not whole and -1 <= low < -0.5 and 0.5 < high <= 1:
        return -1.0, 1.0
    return low, high if high > low else low + 1
