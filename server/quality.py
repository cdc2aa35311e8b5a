"""The one quality table: the StatusCodes that Plantree gives to values, and what they look like elsewhere."""

import numpy as np
from numpy.typing import NDArray

# StatusCodes of OPC 10000-4 7.39 / OPC 10000-6 A.2, each chosen once, here.
GOOD = 0x00000000
UNCERTAIN = 0x40000000
UNCERTAIN_LAST_USABLE = 0x40900000
UNCERTAIN_SENSOR_NOT_ACCURATE = 0x40930000
BAD_UNEXPECTED_ERROR = 0x80010000
BAD_RESOURCE_UNAVAILABLE = 0x80040000
BAD_TIMEOUT = 0x800A0000
BAD_SHUTDOWN = 0x800C0000
BAD_USER_ACCESS_DENIED = 0x801F0000
BAD_NO_COMMUNICATION = 0x80310000
BAD_WAITING_FOR_INITIAL_DATA = 0x80320000
BAD_NOT_WRITABLE = 0x803B0000
BAD_OUT_OF_RANGE = 0x803C0000
BAD_NOT_SUPPORTED = 0x803D0000
BAD_NOT_FOUND = 0x803E0000
BAD_TYPE_MISMATCH = 0x80740000
BAD_METHOD_INVALID = 0x80750000
BAD_ARGUMENTS_MISSING = 0x80760000
BAD_CONFIGURATION_ERROR = 0x80890000
BAD_NOT_CONNECTED = 0x808A0000
BAD_DEVICE_FAILURE = 0x808B0000
BAD_SENSOR_FAILURE = 0x808C0000
BAD_NO_DATA = 0x809B0000
BAD_INVALID_ARGUMENT = 0x80AB0000
BAD_INVALID_STATE = 0x80AF0000
BAD_TOO_MANY_ARGUMENTS = 0x80E50000

_SEVERITY = np.uint32(0xC0000000)


def is_bad(statuses: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return where the severity bits say Bad (OPC 10000-4 7.39.1)."""
    return (statuses & np.uint32(0x80000000)) != 0


def is_good(statuses: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return where the severity bits say Good."""
    return (statuses & _SEVERITY) == 0


def worst(columns: list[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    """Return the worst status of each row: Bad before Uncertain before Good, the first of equals."""
    result = columns[0].copy()
    for column in columns[1:]:
        worse = (column & _SEVERITY) > (result & _SEVERITY)
        result[worse] = column[worse]
    return result


QUALITY_GOOD, QUALITY_UNCERTAIN, QUALITY_BAD = 192, 64, 0
"""The quality of OPC DA, as a number: what Modbus registers show."""


def numbers(statuses: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Return the quality number of each StatusCode."""
    result = np.full(len(statuses), QUALITY_UNCERTAIN, np.uint16)
    result[is_good(statuses)] = QUALITY_GOOD
    result[is_bad(statuses)] = QUALITY_BAD
    return result
