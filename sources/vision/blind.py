"""Whether a camera sees: what its pictures show, and whether they come at all. Times are monotonic seconds."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sources.vision.boxes import Image
from sources.vision.ports import BlindReason
from sources.vision.settings import BlindSettings

_WIDTH = 320  # pixels: enough to tell dark from bright, and alike for all cameras


@dataclass(frozen=True, slots=True)
class Measures:
    """Of one picture: mean grey level (0 to 255) and sharpness, the variance of the Laplacian."""

    mean: float
    sharpness: float


def small(picture: Image) -> NDArray[np.uint8]:
    """Return a picture in grey, at most 320 pixels wide."""
    height, width = picture.shape[:2]
    if width > _WIDTH:
        size = (_WIDTH, max(1, round(height * _WIDTH / width)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def measure(grey: NDArray[np.uint8]) -> Measures:
    """Measure a small grey picture."""
    return Measures(float(grey.mean()), float(cv2.Laplacian(grey, cv2.CV_32F).var()))


def verdict(settings: BlindSettings, measures: Measures) -> BlindReason | None:
    """Say why a single picture shows nothing; None when it shows something."""
    if settings.dark is not None and measures.mean < settings.dark:
        return "dark"
    if settings.bright is not None and measures.mean > settings.bright:
        return "over-exposed"
    if settings.sharpness is not None and measures.sharpness < settings.sharpness:
        return "blurred"
    return None


class Sight:
    """One camera's sight over time; a running clock in the picture hides that the rest is frozen."""

    def __init__(self, settings: BlindSettings, now: float) -> None:
        self.reason: BlindReason | None = None
        self._settings = settings
        self._last_picture = now
        self._changed_at = now
        self._previous: NDArray[np.uint8] | None = None
        self._bad_since: float | None = None
        self._good_since: float | None = None

    def look(self, now: float, picture: Image, known: float | None = None) -> BlindReason | None:
        """Take a picture of `now`; return why the camera is blind, None when it sees.

        `known` is when it has been looked at: what is seen too late is no present sight.
        """
        grey = small(picture)
        if self._previous is None or not np.array_equal(grey, self._previous):
            self._changed_at = now
        self._previous, self._last_picture = grey, now
        if known is not None and known - now >= self._settings.late:
            return self._set(now, "late", at_once=True)
        seen = verdict(self._settings, measure(grey))
        frozen = self._settings.frozen
        if seen is None and frozen is not None and now - self._changed_at >= frozen:
            return self._set(now, "frozen", at_once=True)
        return self._set(now, seen, at_once=False)

    def wait(self, now: float, *, connected: bool) -> BlindReason | None:
        """Take that there is no new picture; return why the camera is blind, None when it sees."""
        if now - self._last_picture < self._settings.late:
            return self.reason
        lost = not connected or self.reason == "lost"  # a connection that is back counts with its first picture
        return self._set(now, "lost" if lost else "late", at_once=True)

    def _set(self, now: float, seen: BlindReason | None, *, at_once: bool) -> BlindReason | None:
        if seen is None:
            self._bad_since = None
            self._good_since = now if self._good_since is None else self._good_since
            if self.reason is not None and now - self._good_since >= self._settings.clear_after:
                self.reason = None
            return self.reason
        self._good_since = None
        self._bad_since = now if self._bad_since is None else self._bad_since
        if at_once or self.reason is not None or now - self._bad_since >= self._settings.raise_after:
            self.reason = seen
        return self.reason
