"""A recording in memory: which columns feed which variables, and their samples as numpy columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from address_space.load import did_you_mean
from address_space.model import BuiltinType, Feed, Machine, Plant, Variable
from server.quality import BAD_NO_DATA
from sources.replay.arrow import pc
from sources.replay.cells import fit, numbers, states, statuses, texts
from sources.replay.reading import RecordingFile, open_recording
from sources.replay.settings import ColumnSettings, Settings
from sources.replay.stamps import NO_STAMP, parse_stamps, stamps_every

Samples = tuple[NDArray[np.int64], NDArray[Any], NDArray[np.uint32]]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """`rows` rows of `len(ids)` samples in file order; nothing is sorted and no duplicate is dropped.

    `stamps` int64[rows], ticks as recorded (a clock that steps back is kept); `values` [rows, columns], float64 with
    NaN for a missing cell, or objects with None when a column is text; `quality` uint32[rows] when the file has one.
    `bad_rows` were skipped, `cut_short` is 1 when the last line was dropped, `missing` counts samples without a value.
    Whole numbers above 2**53 lose their last digits.
    """

    ids: NDArray[np.int64]
    stamps: NDArray[np.int64]
    values: NDArray[Any]
    quality: NDArray[np.uint32] | None
    bad_rows: int
    cut_short: int
    missing: int
    blanks: NDArray[np.object_]
    """What stands in the place of a missing object of each column, which a Bad status hides."""

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.stamps)

    def samples(self, first: int, last: int) -> Samples:
        """Return ids, values and StatusCodes of the rows `first` to `last` (excluded), row after row."""
        values = self.values[first:last]
        quality = np.zeros(len(values), np.uint32) if self.quality is None else self.quality[first:last]
        missing = _is_missing(values)
        codes = np.where(missing, np.uint32(BAD_NO_DATA), quality[:, None])
        if values.dtype == np.object_:
            values = np.where(missing, self.blanks, values)
        return np.tile(self.ids, len(values)), values.reshape(-1), codes.reshape(-1)


@dataclass(frozen=True, slots=True)
class Channel:
    """One column of the file and the variable that it feeds."""

    column: str
    variable: Variable
    settings: ColumnSettings


class Loader:
    """Checks the file and its columns at once; `load` then reads the rows. Raises PlantError in both."""

    def __init__(self, plant: Plant, name: str, machines: Sequence[Machine], settings: Settings) -> None:
        self._plant, self._name, self._machines, self._settings = plant, name, machines, settings
        self.path = plant.file.parent / settings.file
        self._file = open_recording(self.path, settings, self._fault)
        self.channels = self._channels()

    def load(self) -> Recording:
        """Read all rows; takes a few seconds for a million, so call it off the event loop."""
        file = open_recording(self.path, self._settings, self._fault)
        parts = [self._part(batch) for batch in file.batches(self._wanted())]
        stamps = np.concatenate([part.stamps for part in parts]) if parts else np.zeros(0, np.int64)
        if not len(stamps):
            raise self._fault(("file",), f"{self.path} has no row that can be read")
        if self._settings.time.step is not None:
            stamps = self._counted(len(stamps), file)
        values = np.concatenate([part.values for part in parts])
        return Recording(
            ids=np.array([channel.variable.id for channel in self.channels], np.int64),
            stamps=stamps,
            values=values,
            quality=np.concatenate([part.quality for part in parts]) if self._settings.quality else None,
            bad_rows=len(file.bad_rows) + sum(part.unreadable for part in parts),
            cut_short=file.cut_short,
            missing=int(np.count_nonzero(_is_missing(values))),
            blanks=np.array([None if _is_string(channel) else 0 for channel in self.channels], np.object_),
        )

    def _fault(self, place: Sequence[str | int], message: str) -> Any:
        return self._plant.error(("sources", self._name, *place), message)

    def _channels(self) -> tuple[Channel, ...]:
        settings = self._settings
        for name in settings.time.column or ():
            self._check_column(name, ("time", "column"))
        if settings.quality is not None:
            self._check_column(settings.quality.column, ("quality", "column"))
        channels: dict[str, Channel] = {}
        for column, mapped in settings.columns.items():
            self._check_column(column, ("columns", column))
            variable = self._variable(column, mapped)
            if variable.path in channels:
                other = channels[variable.path].column
                raise self._fault(("columns", column), f"{variable.path} is already fed by the column {other!r}")
            channels[variable.path] = Channel(column, variable, mapped)
        return tuple(channels.values())

    def _check_column(self, name: str, place: Sequence[str]) -> None:
        columns = self._file.columns
        if columns.count(name) == 1:
            return
        fault = f"{self.path} has {'two columns' if name in columns else 'no column'} {name!r}"
        raise self._fault(place, fault + ("" if name in columns else did_you_mean(name, columns)))

    def _variable(self, column: str, mapped: ColumnSettings) -> Variable:
        name, place = mapped.variable, ("columns", column)
        own = {v.path: v for machine in self._machines for v in machine.variables.values()}
        if "." in name:
            found = [self._plant.find(name)]
        else:
            found = [variable for variable in own.values() if variable.name == name] or [None]
        if len(found) > 1:
            paths = ", ".join(variable.path for variable in found if variable is not None)
            raise self._fault(place, f"{name!r} is a variable of several machines: write one of {paths}")
        if (variable := found[0]) is None:
            known = own if "." in name else {variable.name: variable for variable in own.values()}
            raise self._fault(place, f"there is no variable {name!r} that this source feeds{did_you_mean(name, known)}")
        if variable.path not in own:
            raise self._fault(place, f"{variable.path} is of a machine that has not `source: {self._name}`")
        declaration = variable.declaration
        if declaration.feed is not Feed.SOURCE:
            raise self._fault(place, f"{variable.path} is no measured variable ({declaration.feed.value})")
        if declaration.type is BuiltinType.DateTime:
            raise self._fault(place, f"{variable.path} is a DateTime, which a recording cannot feed")
        return variable

    def _wanted(self) -> list[str]:
        names = [*(self._settings.time.column or ()), *(channel.column for channel in self.channels)]
        if self._settings.quality is not None:
            names.append(self._settings.quality.column)
        return list(dict.fromkeys(names))

    def _part(self, batch: Any) -> "_Part":
        cells = {name: _plain(batch.column(index)) for index, name in enumerate(batch.schema.names)}
        text = any(_is_string(channel) for channel in self.channels)
        values = np.empty((batch.num_rows, len(self.channels)), np.object_ if text else np.float64)
        for index, channel in enumerate(self.channels):
            values[:, index] = self._values(cells[channel.column], channel, as_objects=text)
        quality = self._settings.quality
        codes = statuses(cells[quality.column], quality.codes) if quality else np.zeros(batch.num_rows, np.uint32)
        stamps = self._stamps(cells, batch.num_rows)
        readable = stamps != NO_STAMP
        count = int(np.count_nonzero(~readable))
        return (
            _Part(stamps[readable], values[readable], codes[readable], count)
            if count
            else _Part(stamps, values, codes, 0)
        )

    def _values(self, cells: Any, channel: Channel, *, as_objects: bool) -> NDArray[Any]:
        declaration, settings = channel.variable.declaration, self._settings
        if _is_string(channel):
            return texts(cells)
        try:
            if declaration.enumeration is not None or declaration.type is BuiltinType.Boolean:
                raw = states(cells, declaration, settings.missing)
            else:
                raw = numbers(cells, settings.decimal, settings.missing)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise self._fault(("columns", channel.column), f"{cells.type} cells are no numbers: {error}") from error
        values = fit(raw * channel.settings.scale + channel.settings.offset, declaration)
        if not as_objects:
            return values
        whole = declaration.type not in {BuiltinType.Float, BuiltinType.Double}
        objects = [None if value != value else int(value) if whole else value for value in values.tolist()]  # noqa: PLR0124
        return np.array(objects, np.object_)

    def _stamps(self, cells: Mapping[str, Any], rows: int) -> NDArray[np.int64]:
        time = self._settings.time
        if time.column is None:
            return np.zeros(rows, np.int64)
        parts = [cells[name] for name in time.column]
        written = (
            parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*(pc.cast(p, pa.string()) for p in parts), " ")
        )
        stamps = parse_stamps(written, time.format, timezone=time.timezone, next_day=time.midnight == "next_day")
        if self._settings.on_error == "fail" and (bad := np.flatnonzero(stamps == NO_STAMP)).size:
            shown = written[int(bad[0])].as_py()
            raise self._fault(
                ("time", "format"), f"the time stamp {shown!r} in {self.path} is not of the form {time.format}"
            )
        return stamps

    def _counted(self, rows: int, file: RecordingFile) -> NDArray[np.int64]:
        """Return stamps for a file without any; a bad row keeps its place in time."""
        time = self._settings.time
        every = stamps_every(time.step or 0.0, time.start, rows + len(file.bad_rows), timezone=time.timezone)
        return np.delete(every, np.array(file.bad_rows, np.int64) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    stamps: NDArray[np.int64]
    values: NDArray[Any]
    quality: NDArray[np.uint32]
    unreadable: int


def _is_string(channel: Channel) -> bool:
    return channel.variable.declaration.type is BuiltinType.String


def _plain(cells: Any) -> Any:
    return cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells


def _is_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype == np.object_:
        nothing: Any = None
        return np.equal(values, nothing).astype(np.bool_)
    return np.isnan(values)
