"""Inputs of pictures: a video file, a folder of pictures, a stream, a device. One picture at a time, with its time."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from server.store import now_ticks
from sources.vision.boxes import Image
from sources.vision.settings import InputSettings

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEOS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".gif", ".m4v", ".mjpeg", ".mjpg", ".ts"})
_TICKS_PER_SECOND = 10_000_000
_FALLBACK_RATE = 25.0  # pictures a second of a video that does not say
_FOLDER_RATE = 1.0
_MOST_PASSED = 250


class LostError(Exception):
    """There is no picture, or none any more, in one sentence."""


class EndError(LostError):
    """The last picture of an input that is played once."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture and when it was taken: `captured` in ticks, `at` in monotonic seconds."""

    picture: Image
    captured: int
    at: float


class Input(Protocol):
    """An opened input."""

    rate: float | None
    """Pictures a second that it is to be played at; None: it comes at its own."""

    def read(self) -> Frame:
        """Wait for the next picture; raises LostError, EndError."""
        ...

    def close(self) -> None:
        """Let go of file, stream or device."""
        ...


def open_input(settings: InputSettings, folder: Path) -> Input:
    """Open an input, files relative to `folder`; raises LostError."""
    if settings.file is None:
        return _Live(settings)
    path = folder / settings.file
    return _Folder(path, settings) if path.is_dir() else _Video(path, settings)


def pictures(folder: Path) -> list[Path]:
    """Return the picture files of a folder by name; raises LostError where there is none."""
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES)
    if not found:
        raise LostError(f"there is no picture in {folder}")
    return found


def read_picture(file: Path) -> Image:
    """Read a picture file; raises LostError."""
    # Not imread: it writes to standard error what is wrong, and says nothing.
    try:
        data = np.fromfile(file, np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except (OSError, cv2.error) as error:
        raise LostError(f"{file} cannot be read: {error}") from error
    if picture is None:
        raise LostError(f"{file} is no picture")
    return np.asarray(picture, np.uint8)


class _Folder:
    """The pictures of a folder by name."""

    def __init__(self, path: Path, settings: InputSettings) -> None:
        self.rate: float | None = settings.fps or _FOLDER_RATE
        self._path, self._loop = path, settings.loop
        self._files: Iterator[Path] = iter(pictures(path))

    def read(self) -> Frame:
        file = next(self._files, None)
        if file is None:
            if not self._loop:
                raise EndError(f"the last picture of {self._path} was shown")
            self._files = iter(pictures(self._path))
            return self.read()
        return Frame(read_picture(file), now_ticks(), time.monotonic())

    def close(self) -> None:
        """Nothing is open."""


class _Video:
    """A video file, played at its own rate or at another."""

    def __init__(self, path: Path, settings: InputSettings) -> None:
        self._path, self._loop = path, settings.loop
        self._capture = self._open()
        own = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate: float | None = settings.fps or (own if 0 < own <= 1000 else _FALLBACK_RATE)

    def _open(self) -> cv2.VideoCapture:
        if not self._path.is_file():
            raise LostError(f"there is no file {self._path}")
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise LostError(f"{self._path} is no video that can be read")
        return capture

    def read(self) -> Frame:
        there, picture = self._capture.read()
        if not there:
            self._capture.release()
            if not self._loop:
                raise EndError(f"{self._path} is at its end")
            self._capture = self._open()
            there, picture = self._capture.read()
            if not there:
                raise LostError(f"{self._path} holds no picture")
        return Frame(np.asarray(picture, np.uint8), now_ticks(), time.monotonic())

    def close(self) -> None:
        self._capture.release()


class Clock:
    """Tells when a picture of a stream was taken: its arrival, made even by the sender's own clock (s).

    Pictures that were held up on the way arrive in a burst; their presentation times tell how far they are apart. The
    least delay seen counts as none; it may grow by `drift`, for the two clocks are never quite alike.
    """

    def __init__(self, drift: float = 1e-3, most: float = 10.0) -> None:
        self._drift, self._most = drift, most
        self._offset: float | None = None
        self._last = 0.0

    def age(self, arrival: float, presented: float) -> float:
        """Return how many seconds before its arrival a picture was taken; 0 where the sender's clock makes no sense."""
        offset = arrival - presented
        if self._offset is None or presented < self._last or offset - self._offset > self._most:
            self._offset = offset
        else:
            self._offset = min(self._offset + self._drift * (presented - self._last), offset)
        self._last = presented
        return arrival - (presented + self._offset)


class _Live:
    """A stream or a device; its pictures are stamped when they arrive, before they are decoded."""

    rate: float | None = None

    def __init__(self, settings: InputSettings) -> None:
        self._shown = settings.shown
        limit = int(settings.timeout * 1000)
        if settings.url is not None:
            try:
                url = settings.full_url()
            except KeyError as error:
                raise LostError(f"the environment variable {error.args[0]} with its password is not set") from error
            options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
            self._capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, options)
        else:
            self._capture = cv2.VideoCapture(settings.device or 0, cv2.CAP_ANY)
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            for prop, wanted in zip(
                (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), settings.size or (), strict=False
            ):
                self._capture.set(prop, wanted)
            if settings.fps is not None:
                self._capture.set(cv2.CAP_PROP_FPS, settings.fps)
        if not self._capture.isOpened():
            self._capture.release()
            raise LostError(f"{self._shown} cannot be opened within {settings.timeout:g} s")
        # Only RTP's time stamps are a clock; those of other streams are made up from a rate.
        self._clock = Clock() if settings.url is not None and settings.url.startswith("rtsp") else None
        self._caught_up = self._clock is None

    def _catch_up(self) -> None:
        """Pass over what came while the stream was opened: it is old, and how old cannot be told yet."""
        self._caught_up = True
        before: tuple[float, float] | None = None
        for _ in range(_MOST_PASSED):
            if not self._capture.grab():
                raise LostError(f"{self._shown} gives no more pictures")
            now, presented = time.monotonic(), self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if before is not None and now - before[0] > (presented - before[1]) / 2:
                return  # this one had to be waited for
            before = now, presented

    def read(self) -> Frame:
        if not self._caught_up:
            self._catch_up()
        if not self._capture.grab():
            raise LostError(f"{self._shown} gives no more pictures")
        captured, at = now_ticks(), time.monotonic()
        if self._clock is not None:
            age = self._clock.age(at, self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            captured, at = captured - int(age * _TICKS_PER_SECOND), at - age
        there, picture = self._capture.retrieve()
        if not there:
            raise LostError(f"{self._shown} gives pictures that cannot be decoded")
        return Frame(np.asarray(picture, np.uint8), captured, at)

    def close(self) -> None:
        self._capture.release()
