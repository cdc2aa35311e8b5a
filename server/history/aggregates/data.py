"""What aggregates work on: samples with their qualities as the configuration sees them (OPC 10000-13 4.2.1.2)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.quality import BAD_NO_DATA, is_bad, is_good

Floats = NDArray[np.float64]
Stamps = NDArray[np.int64]
Statuses = NDArray[np.uint32]
Flags = NDArray[np.bool_]

GOOD = np.uint32(0)
UNCERTAIN_SUB_NORMAL = np.uint32(0x40A4_0000)
BAD = np.uint32(0x8000_0000)
NO_DATA = np.uint32(BAD_NO_DATA)

INFO = np.uint32(0x0400)
"""The InfoBits are those of a DataValue (OPC 10000-4 7.39)."""
CALCULATED = np.uint32(0x01)
INTERPOLATED = np.uint32(0x02)
PARTIAL = np.uint32(0x04)
MULTIPLE_VALUES = np.uint32(0x10)


@dataclass(frozen=True, slots=True)
class Configuration:
    """How data that is not Good is treated; `stepped`: a value holds until the next, no line is drawn between."""

    stepped: bool = False
    treat_uncertain_as_bad: bool = True
    percent_bad: int = 100
    percent_good: int = 100
    sloped_extrapolation: bool = False


@dataclass(frozen=True, slots=True)
class Processed:
    """Values, NaN where Bad, with statuses and timestamps (ticks), in the order of the request; shape (n,)."""

    stamps: Stamps
    values: Floats
    statuses: Statuses


class Data:
    """Samples by time (n,), and what each is worth.

    `usable` is where a value may be used: Good, and Uncertain unless that is treated as Bad; a value that is no number
    is not. A first BadNoData only says that nothing was recorded before: it is no sample.
    """

    def __init__(self, stamps: Stamps, values: Floats, statuses: Statuses, configuration: Configuration) -> None:
        begin = 0
        while begin < len(stamps) and statuses[begin] == NO_DATA:
            begin += 1
        self.configuration = configuration
        self.stamps = stamps[begin:]
        self.values = values[begin:]
        self.statuses = statuses[begin:]
        number = np.isfinite(self.values)
        self.bad = is_bad(self.statuses) | ~number
        self.good = is_good(self.statuses) & number
        self.uncertain = ~self.bad & ~self.good
        self.usable = self.good if configuration.treat_uncertain_as_bad else ~self.bad

    def __len__(self) -> int:
        return len(self.stamps)

    def by_share(self, good: Floats, bad: Floats, total: Floats) -> Statuses:
        """Return the status by how much of `total` is good and bad, in values or in time (5.4.3.2)."""
        configuration = self.configuration
        with np.errstate(invalid="ignore", divide="ignore"):
            enough = (total == 0) | (100 * good / total >= configuration.percent_good)
            too_bad = 100 * bad / total >= configuration.percent_bad
        return np.where(enough, GOOD, np.where(too_bad, BAD, UNCERTAIN_SUB_NORMAL))


def with_bits(statuses: Statuses, bits: NDArray[np.uint32] | np.uint32) -> Statuses:
    """Add InfoBits."""
    bits = np.broadcast_to(np.asarray(bits, np.uint32), statuses.shape)
    return statuses | bits | np.where(bits != 0, INFO, np.uint32(0))
