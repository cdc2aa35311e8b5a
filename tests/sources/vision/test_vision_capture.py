"""Capture: inputs of each kind, the newest picture only, lost inputs and their backoff, and blindness."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from vision_rig import http_camera, pictures, write_clip

from server.store import now_ticks
from sources.vision.blind import Sight, measure, small
from sources.vision.capture import Capture, Pace, delay
from sources.vision.inputs import Clock, EndError, Frame, LostError, open_input
from sources.vision.settings import Backoff, BlindSettings, CameraSettings, InputSettings
from sources.vision.wire import Fault, State, decode, encode


def given_(value: Any) -> InputSettings:
    return CameraSettings.model_validate({"input": value}).input


def numbered(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    return [np.full((*size, 3), 10 + 20 * number, np.uint8) for number in range(count)]


@contextmanager
def capturing(settings: InputSettings) -> Iterator[Capture]:
    capture = Capture("Camera1", settings, Path(), threading.Event())
    capture.start()
    try:
        yield capture
    finally:
        capture.stop()


def wait_for(holds: Callable[[], Any], what: str, within: float = 10.0) -> Any:
    deadline = time.monotonic() + within
    while not (result := holds()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.005)  # between two looks at another thread
    return result


def test_a_video_is_played_once_or_looped(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", numbered(3))
    once = open_input(given_({"file": str(clip), "loop": False}), tmp_path)
    assert [round(float(once.read().picture.mean()), -1) for _ in range(3)] == [10, 30, 50]
    with pytest.raises(EndError):
        once.read()
    looped = open_input(given_("a.avi"), tmp_path)
    assert [round(float(looped.read().picture.mean()), -1) for _ in range(5)] == [10, 30, 50, 10, 30]
    assert looped.rate == pytest.approx(10)
    looped.close()


def test_a_folder_of_pictures_is_shown_by_name(tmp_path: Path) -> None:
    for name, picture in zip(("b.png", "a.png"), numbered(2), strict=True):
        cv2.imwrite(str(tmp_path / name), picture)
    folder = open_input(given_({"file": str(tmp_path), "loop": False}), tmp_path)
    assert [folder.read().picture[0, 0, 0] for _ in range(2)] == [30, 10]
    with pytest.raises(EndError):
        folder.read()
    (tmp_path / "c.png").write_bytes(b"no picture")
    broken = open_input(given_(str(tmp_path)), tmp_path)
    broken.read()
    broken.read()
    with pytest.raises(LostError, match=r"c\.png is no picture"):
        broken.read()


@pytest.mark.parametrize(
    ("value", "said"),
    [("none.avi", "there is no file"), ({"url": "http://127.0.0.1:9/x", "timeout": 1.0}, "cannot be opened")],
)
def test_what_is_not_there_is_lost(tmp_path: Path, value: Any, said: str) -> None:
    with pytest.raises(LostError, match=said):
        open_input(given_(value), tmp_path)


def test_pictures_are_stamped_when_they_are_taken(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", numbered(3))
    before, began = now_ticks(), time.monotonic()
    frame = open_input(given_(str(clip)), tmp_path).read()
    assert before <= frame.captured <= now_ticks()
    assert began <= frame.at <= time.monotonic()


def test_what_is_not_taken_in_time_is_dropped_and_never_queued(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", numbered(12))
    with capturing(given_({"file": str(clip), "fps": 100, "loop": False})) as capture:
        wait_for(lambda: capture.ended, "the clip is over")
        assert (capture.arrived, capture.dropped) == (12, 11)
        frame = capture.take()
        assert frame is not None
        assert frame.picture.mean() > 220, "the newest"
        assert capture.take() is None


class FakeTime:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_a_file_is_held_to_its_rate_and_what_is_lost_for_long_stays_lost() -> None:
    clock = FakeTime()
    pace = Pace(25, clock.wait, clock)
    for _ in range(26):
        pace.wait()
    assert clock.now == pytest.approx(101.0)
    clock.now += 0.5  # held up: it catches up
    for _ in range(25):
        pace.wait()
    assert clock.now == pytest.approx(102.0)
    clock.now += 10.0  # for too long
    for _ in range(26):
        pace.wait()
    assert clock.now == pytest.approx(113.0, abs=0.05)
    unhurried = Pace(None, clock.wait, clock)
    unhurried.wait()
    assert clock.now == pytest.approx(113.0, abs=0.05)


def test_the_rate_of_a_camera_that_stopped_falls_to_nothing() -> None:
    capture = Capture("Camera1", given_("a.avi"), Path(), threading.Event())
    assert capture.rate(0.0) == 0
    for number in range(51):
        capture.keep(Frame(numbered(1)[0], 0, number / 25))
    assert capture.rate(2.0) == pytest.approx(25)
    assert capture.rate(4.0) < 20
    assert capture.rate(7.1) == 0


def test_a_camera_on_http_is_lost_and_found_again(vision_data: Path) -> None:
    with http_camera(pictures(vision_data / "video" / "worker-zone.gif", 5), fps=20) as camera:
        settings = given_({"url": camera.url, "timeout": 1.0, "backoff": {"minimum": 0.05, "maximum": 0.1}})
        with capturing(settings) as capture:
            wait_for(lambda: capture.arrived >= 3, "pictures")
            assert capture.connected
            camera.plugged.clear()
            wait_for(lambda: not capture.connected, "lost")
            assert capture.error
            camera.plugged.set()
            before = capture.arrived
            wait_for(lambda: capture.arrived > before + 2, "found again")
            assert capture.connected
            assert capture.error == ""


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_waits_double_up_to_the_longest(failures: int, chance: float) -> None:
    backoff = Backoff(minimum=0.5, maximum=8)
    full = min(8.0, 0.5 * 2.0 ** (failures - 1))
    assert full / 2 <= delay(backoff, failures, chance) <= full


def test_a_burst_is_stamped_as_it_was_taken() -> None:
    clock = Clock()
    assert clock.age(100.0, 5.0) == 0
    assert clock.age(100.1, 5.1) == pytest.approx(0, abs=1e-3)
    ages = [clock.age(101.0, 5.2 + number / 10) for number in range(8)]  # held up, all at once
    assert ages == pytest.approx([0.8 - number / 10 for number in range(8)], abs=2e-3)
    assert clock.age(500.0, 0.1) == 0, "the sender began anew"


@given(st.lists(st.floats(0, 0.4), min_size=2, max_size=60))
def test_no_picture_is_stamped_after_its_arrival(delays: list[float]) -> None:
    clock, arrival = Clock(), 0.0
    for number, held_up in enumerate(delays):
        arrival = max(arrival, number / 10 + held_up)
        assert -1e-9 <= clock.age(arrival, number / 10) <= 0.41 + 60


@pytest.mark.parametrize(
    "value",
    [{}, {"url": "ftp://x"}, {"file": "a", "device": 0}, {"url": "rtsp://x/", "password_env": "P"}],
)
def test_inputs_that_cannot_be_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        given_(value)


def test_a_password_is_not_shown_and_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given_("rtsp://me:secret@10.0.0.5:554/live?key=secret").shown == "rtsp://10.0.0.5:554/live"
    settings = given_({"url": "rtsp://10.0.0.5/live", "user": "me", "password_env": "CAMERA_PASSWORD"})
    monkeypatch.setenv("CAMERA_PASSWORD", "pass")
    assert settings.full_url() == "rtsp://me:pass@10.0.0.5/live"
    monkeypatch.delenv("CAMERA_PASSWORD")
    with pytest.raises(LostError, match="CAMERA_PASSWORD"):
        open_input(settings, Path())


def test_a_device_that_is_not_there_is_named_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that can be tried without a USB camera: what comes after opening is as for streams."""
    given = {"device": 63, "timeout": 0.5, "backoff": {"minimum": 0.01, "maximum": 0.02}}
    settings = CameraSettings.model_validate({"input": given}).input
    tried: list[int] = []
    thrice = threading.Event()

    def counted(*given: Any) -> Any:
        tried.append(len(tried))
        if len(tried) == 3:
            thrice.set()
        return open_input(*given)

    monkeypatch.setattr("sources.vision.capture.open_input", counted)
    capture = Capture("C", settings, Path(), threading.Event())
    capture.start()
    assert thrice.wait(30)
    capture.stop()
    assert capture.error == "device 63 cannot be opened within 0.5 s"
    assert not capture.connected
    assert not capture.ended


@pytest.fixture(scope="module")
def street(vision_data: Path) -> list[np.ndarray]:
    """Return pictures of a street by day."""
    return pictures(vision_data / "video" / "vtest.avi", 12)


def sight(**more: Any) -> Sight:
    return Sight(BlindSettings.model_validate({"raise_after": 1.0, "clear_after": 1.0, **more}), 0.0)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda picture: picture // 25, "dark"),
        (lambda picture: np.maximum(picture, 250), "over-exposed"),
        (lambda picture: cv2.GaussianBlur(picture, (0, 0), 13), "blurred"),
        (lambda picture: np.full_like(picture, 120), "blurred"),
    ],
)
def test_pictures_that_show_nothing_blind_after_a_while_and_clear_after_a_while(
    street: list[np.ndarray], spoil: Callable, reason: str
) -> None:
    eye = sight()
    assert eye.look(0.0, street[0]) is None
    spoilt = [np.asarray(spoil(picture), np.uint8) for picture in street]
    assert eye.look(0.1, spoilt[0]) is None
    assert eye.look(0.6, spoilt[1]) is None
    assert eye.look(1.2, spoilt[2]) == reason
    assert eye.look(1.3, street[3]) == reason
    assert eye.look(2.2, street[4]) == reason
    assert eye.look(2.4, street[5]) is None


def test_real_pictures_are_not_blind(vision_data: Path, street: list[np.ndarray]) -> None:
    eye = sight(raise_after=0.0)
    for name in ("worker-zone.gif", "person-bicycle-car.gif"):
        for number, picture in enumerate(pictures(vision_data / "video" / name)):
            assert eye.look(number * 0.1, picture) is None
    assert measure(small(street[0])).sharpness > 100


def test_a_frozen_camera_is_blind_until_something_moves(street: list[np.ndarray]) -> None:
    eye = sight(frozen=5.0)
    eye.look(0.0, street[0])
    assert all(eye.look(t / 2, street[1]) is None for t in range(1, 11))
    assert eye.look(5.5, street[1]) == "frozen"
    assert eye.look(6.0, street[2]) == "frozen"
    assert eye.look(7.1, street[3]) is None
    still = sight(frozen=None)
    assert all(still.look(float(t), street[1]) is None for t in range(100))


def test_late_and_lost_are_told_apart(street: list[np.ndarray]) -> None:
    eye = sight(late=2.0)
    eye.look(0.0, street[0])
    assert eye.wait(1.9, connected=True) is None
    assert eye.wait(2.0, connected=True) == "late"
    assert eye.wait(2.5, connected=False) == "lost"
    assert eye.wait(2.6, connected=True) == "lost", "until its first picture"
    assert eye.look(3.0, street[1]) == "lost"
    assert eye.look(4.1, street[2]) is None


def test_what_is_looked_at_too_late_is_no_present_sight(street: list[np.ndarray]) -> None:
    eye = sight(late=2.0)
    assert eye.look(0.0, street[0], 1.9) is None
    assert eye.look(0.1, street[1], 2.2) == "late", "at once: a starved detector must not look alive"
    assert eye.look(3.0, street[2], 3.1) == "late"
    assert eye.look(4.1, street[3], 4.2) is None


def test_messages_come_through_as_they_were() -> None:
    state = State("Plant.C", True, 5, 1.5, 10.0, 3, 1, 7, 1, "dark", "x", {"Fire": True}, None, 0)
    assert decode(encode(state)) == state
    assert decode(encode(Fault("a\nb"))) == Fault("a\nb")
    with pytest.raises(KeyError):
        decode(b'{"kind": "Nonsense"}')
