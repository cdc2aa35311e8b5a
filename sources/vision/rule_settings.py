"""Settings of a camera's zones and rules."""

from datetime import time
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
DAYS: tuple[Day, ...] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _polygon(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Check that a polygon has an inside."""
    doubled = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True))
    if abs(doubled) < 1e-6:
        raise ValueError("encloses nothing")
    return points


Zone = Annotated[list[tuple[Share, Share]], Field(min_length=3), AfterValidator(_polygon)]
"""Corners of a polygon, in shares of the picture's width and height."""


def _zone_name(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is no IANA time zone (such as Europe/Berlin)") from None
    return name


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Schedule(_Section):
    """When a rule counts: on `days`, from `start` until before `end` (past midnight where end is not later)."""

    days: list[Day] = list(DAYS)
    start: time = time(0)
    end: time = time(0)
    timezone: Annotated[str, AfterValidator(_zone_name)] = "UTC"


class Rule(_Section):
    """When a camera raises an alarm.

    `present`: one of `classes` is seen, `count` times at least. `missing`: one of `classes` (a person) is seen whose
    upper part, the share `upper` of its box, holds the centre of no box of the classes `without` (a helmet).
    Objects count from `confidence` on (`confidences` for single classes; where neither is said what the model's own
    metadata asks for, else 0.5), once it is raised from `keep` on; with a box of at least `min_height` of the picture's
    height and `min_area` of its area; with the middle of the box's bottom edge in one of the `zones`, anywhere if there
    are none. In `frames` of the last `of` pictures, for `raise_after`
    seconds: the alarm is raised. It stays for `hold` seconds at least, and until nothing was seen for `clear_after`.
    """

    kind: Literal["present", "missing"] = "present"
    classes: list[str] = Field(min_length=1)
    without: list[str] = []
    upper: float = Field(default=0.45, gt=0, le=1)
    count: int = Field(default=1, ge=1)
    confidence: Share | None = None
    confidences: dict[str, Share] = {}
    keep: Share | None = None
    without_confidence: Share = 0.3
    min_height: Share = 0.0
    min_area: Share = 0.0
    zones: list[str] = []
    frames: int = Field(default=3, ge=1, le=1000)
    of: int = Field(default=5, ge=1, le=1000)
    raise_after: float = Field(default=0.0, ge=0, le=3600)
    hold: float = Field(default=2.0, ge=0, le=86_400)
    clear_after: float = Field(default=3.0, ge=0, le=86_400)
    schedule: list[Schedule] = []
    enabled: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.frames > self.of:
            raise ValueError(f"{self.frames} of {self.of} pictures can never be")
        if (self.kind == "missing") != bool(self.without):
            raise ValueError("kind: missing and `without` (what is missing) go together")
        given = [value for value in (self.confidence, *self.confidences.values()) if value is not None]
        if self.keep is not None and self.keep > min(given, default=1.0):
            raise ValueError("keep is the lower confidence, which holds an alarm that was raised")
        return self
