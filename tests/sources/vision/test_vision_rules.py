"""Rules: zones against a slow reference, persistence in time, schedules, and what counts."""

from datetime import UTC, datetime, time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sources.vision.rule_settings import Rule, Schedule
from sources.vision.rules import Persistence, RuleSet, Seen, hits, in_zones, inside, scheduled
from sources.vision.settings import CameraSettings

SQUARE = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
share = st.floats(0, 1, allow_nan=False)


def winding(point: tuple[float, float], polygon: list[tuple[float, float]]) -> float:
    """Return the sum of the angles under which a point sees a polygon's edges, in turns: 0 outside a simple one."""
    total = 0.0
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        a, b = np.array([x0, y0]) - point, np.array([x1, y1]) - point
        total += np.arctan2(a[0] * b[1] - a[1] * b[0], a @ b)
    return total / (2 * np.pi)


@given(st.lists(share, min_size=3, max_size=9), share, share)
def test_inside_agrees_with_the_winding_number(radii: list[float], x: float, y: float) -> None:
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)  # a star: simple, often not convex
    reach = 0.05 + 0.45 * np.array(radii)
    polygon = np.stack([0.5 + reach * np.cos(angles), 0.5 + reach * np.sin(angles)], axis=1)
    turns = winding((x, y), [tuple(corner) for corner in polygon])
    if abs(abs(turns) - 0.5) < 0.499:  # on an edge either answer is right
        return
    assert inside(np.array([[x, y]]), polygon)[0] == (abs(turns) > 0.5)


@given(st.lists(st.tuples(share, share), min_size=1, max_size=30), st.integers(0, 5))
def test_inside_is_the_same_for_many_points_and_for_each_by_itself(points: list, turn: int) -> None:
    polygon = np.roll(SQUARE, turn, axis=0)[:: -1 if turn % 2 else 1]
    together = inside(np.array(points), polygon)
    assert together.tolist() == [bool(inside(np.array([point]), SQUARE)[0]) for point in points]


def test_it_is_the_feet_that_stand_in_a_zone() -> None:
    boxes = np.array([[0.4, 0.0, 0.6, 0.5], [0.4, 0.3, 0.6, 0.95], [0.0, 0.3, 0.3, 0.5]], np.float32)
    assert in_zones(boxes, [SQUARE]).tolist() == [True, False, False]
    assert in_zones(boxes, [SQUARE, np.array([[0.0, 0.9], [1, 0.9], [1, 1], [0, 1]])]).tolist() == [True, True, False]
    assert in_zones(boxes, []).all()


RULES = st.builds(
    lambda frames, extra, raise_after, hold, clear: Persistence(frames, frames + extra, raise_after, hold, clear),
    st.integers(1, 5), st.integers(0, 5), st.sampled_from([0.0, 0.5]), st.sampled_from([0.0, 2.0]),
    st.sampled_from([0.0, 1.0]),
)  # fmt: skip


@given(RULES, st.lists(st.booleans(), max_size=120))
def test_persistence_keeps_its_promises(state: Persistence, shown: list[bool]) -> None:
    raised_at, last_hit, before = 0.0, -np.inf, False
    for number, hit in enumerate(shown):
        now = number * 0.1
        active = state.update(now, hit)
        last_hit = now if hit else last_hit
        if active and not before:
            assert hit, "raised by a picture that shows it"
            assert sum(shown[max(0, number + 1 - state.of) : number + 1]) >= state.frames
            raised_at = now
        if before and not active:
            assert now - raised_at >= state.hold
            assert now - last_hit >= state.clear_after
        before = active


@given(RULES, st.lists(st.booleans(), max_size=80))
def test_a_blind_camera_never_clears(state: Persistence, shown: list[bool]) -> None:
    state.resume()
    assert all(state.update(number * 0.1, hit, blind=True) for number, hit in enumerate(shown, 1))


def test_an_alarm_of_before_a_restart_stands_until_pictures_say_otherwise() -> None:
    state = Persistence(frames=2, of=3, raise_after=0.0, hold=0.0, clear_after=1.0)
    state.resume()
    assert state.update(500.0, False), "the first picture comes late: nothing was seen to be over until then"
    assert state.update(500.9, False)
    assert not state.update(501.1, False)


def test_even_a_rule_that_clears_at_once_waits_until_the_camera_sees() -> None:
    state = Persistence(frames=1, of=1, raise_after=0.0, hold=0.0, clear_after=0.0)
    assert state.update(0.0, True)
    assert state.update(0.1, False, blind=True)
    assert state.update(60.0, False, blind=True)
    assert not state.update(60.1, False)


def test_a_single_flash_raises_nothing_and_a_short_gap_clears_nothing() -> None:
    state = Persistence(frames=3, of=5, raise_after=0.0, hold=0.0, clear_after=1.0)
    assert not any(state.update(t / 10, hit) for t, hit in enumerate([True, False, False, False, True, False, True]))
    assert state.update(0.7, True)
    assert all(state.update(0.7 + t / 10, False) for t in range(1, 10))
    assert not state.update(1.8, False)


def test_withdrawn_it_is_raised_by_the_next_hit() -> None:
    state = Persistence(frames=2, of=3, raise_after=0.0, hold=0.0, clear_after=1.0)
    state.update(0.0, True)
    assert state.update(0.1, True)
    state.withdraw()
    assert not state.active
    assert not state.update(0.2, False)
    assert state.update(0.3, True)


def rule(**given_: object) -> Rule:
    return Rule.model_validate({"classes": ["person"], "frames": 1, "of": 1, **given_})


def met(rule_: Rule, names: list[str], scores: list[float], boxes: list, *, raised: bool = False) -> bool:
    return bool(hits(rule_, Seen.of(names, scores, boxes), [], 1, raised=raised)[0])


BOX = [0.4, 0.2, 0.6, 0.9]


def test_class_confidence_size_and_count() -> None:
    assert met(rule(), ["person"], [0.6], [BOX])
    assert not met(rule(), ["dog"], [0.9], [BOX])
    assert not met(rule(), ["person"], [0.4], [BOX])
    assert met(rule(confidences={"person": 0.3}), ["person"], [0.4], [BOX])
    assert met(rule(keep=0.3), ["person"], [0.4], [BOX], raised=True)
    assert not met(rule(keep=0.3), ["person"], [0.4], [BOX])
    assert not met(rule(min_height=0.8), ["person"], [0.9], [BOX])
    assert not met(rule(min_area=0.2), ["person"], [0.9], [BOX])
    assert not met(rule(count=2), ["person"], [0.9], [BOX])
    assert met(rule(count=2), ["person", "person"], [0.9, 0.6], [BOX, BOX])


def test_a_person_without_a_helmet_is_found_and_one_with_it_is_not() -> None:
    bare = rule(kind="missing", without=["helmet"])
    on_head, in_hand = [0.45, 0.2, 0.55, 0.3], [0.45, 0.6, 0.55, 0.7]
    assert met(bare, ["person"], [0.9], [BOX])
    assert not met(bare, ["person", "helmet"], [0.9, 0.4], [BOX, on_head])
    assert met(bare, ["person", "helmet"], [0.9, 0.2], [BOX, on_head]), "not sure enough"
    assert met(bare, ["person", "helmet"], [0.9, 0.9], [BOX, in_hand])
    assert met(bare, ["person", "helmet"], [0.9, 0.9], [BOX, [0.1, 0.2, 0.2, 0.3]]), "somebody else's"


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["person", "helmet"]), share, share, share), max_size=25))
def test_many_pictures_at_once_are_judged_like_each_by_itself(objects: list) -> None:
    both = (rule(), rule(kind="missing", without=["helmet"]), rule(min_height=0.3))
    boxes = [[x * 0.7, y * 0.7, x * 0.7 + 0.3, y * 0.7 + 0.3] for _, _, _, x, y in objects]
    names, scores = [o[1] for o in objects], [o[2] for o in objects]
    seen = Seen.of(names, scores, boxes)
    many = Seen(seen.names, seen.scores, seen.boxes, np.array([o[0] for o in objects], np.int64))
    for one in both:
        together = hits(one, many, [SQUARE], 5, raised=False)
        for picture in range(5):
            mine = [place for place, o in enumerate(objects) if o[0] == picture]
            alone = Seen.of([names[i] for i in mine], [scores[i] for i in mine], [boxes[i] for i in mine])
            assert together[picture] == hits(one, alone, [SQUARE], 1, raised=False)[0]


@pytest.mark.parametrize(
    ("when", "counts"),
    [((0, 23), True), ((1, 3), True), ((1, 7), False), ((0, 12), False), ((1, 23), False), ((2, 3), False)],
)
def test_a_night_belongs_to_the_day_on_which_it_began(when: tuple[int, int], counts: bool) -> None:
    night = Schedule(days=["Mon"], start=time(22), end=time(6))
    assert scheduled([night], MONDAY.replace(day=16 + when[0], hour=when[1])) is counts


def test_a_schedule_is_of_its_time_zone() -> None:
    assert scheduled([Schedule(start=time(8), end=time(9), timezone="Asia/Tokyo")], MONDAY.replace(hour=23))
    assert not scheduled([Schedule(start=time(8), end=time(9))], MONDAY.replace(hour=23))


def test_outside_its_schedule_a_rule_raises_nothing() -> None:
    guarded = rule(schedule=[Schedule(start=time(22), end=time(6))])
    rules = RuleSet({"Night": guarded}, {})
    seen = Seen.of(["person"], [0.9], [BOX])
    assert not rules.update(0.0, MONDAY.replace(hour=12), seen)["Night"].active
    assert rules.update(1.0, MONDAY.replace(hour=23), seen)["Night"].active


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"frames": 4, "of": 3}, "4 of 3"),
        ({"without": ["helmet"]}, "go together"),
        ({"keep": 0.9, "confidence": 0.5}, "lower confidence"),
        ({"schedule": [{"timezone": "Mars/Base"}]}, "no IANA time zone"),
    ],
)
def test_rules_that_cannot_be_are_refused(options: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        rule(**options)


def test_zones_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="encloses nothing"):
        CameraSettings.model_validate({"input": "a.avi", "zones": {"line": [[0, 0], [0.5, 0.5], [1, 1]]}})
    with pytest.raises(ValidationError, match="names a zone 'door'"):
        CameraSettings.model_validate({"input": "a.avi", "rules": {"A": {"classes": ["person"], "zones": ["door"]}}})


def test_a_rule_that_says_no_confidence_asks_for_what_the_model_does() -> None:
    zones: dict[str, list[tuple[float, float]]] = {}
    said = {"silent": rule(), "own": rule(confidence=0.5), "class": rule(confidences={"person": 0.4})}
    moment, whole = datetime(2026, 1, 1, tzinfo=UTC), [(0.1, 0.1, 0.5, 0.5)]

    def raised(score: float, asks: dict[str, float]) -> set[str]:
        quick = {name: one.model_copy(update={"frames": 1, "of": 1}) for name, one in said.items()}
        outcomes = RuleSet(quick, zones, asks).update(0.0, moment, Seen.of(["person"], [score], whole))
        return {name for name, outcome in outcomes.items() if outcome.active}

    assert raised(0.45, {"person": 0.62}) == {"class"}
    assert raised(0.55, {"person": 0.62}) == {"own", "class"}
    assert raised(0.65, {"person": 0.62}) == {"silent", "own", "class"}
    assert raised(0.35, {"person": 0.3}) == {"silent"}
    assert raised(0.55, {}) == {"silent", "own", "class"}, "0.5 where nobody says"
