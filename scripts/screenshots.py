"""Take the pictures of the operator page in docs/web: a real plant that has run for some minutes, in a real browser."""

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from server.security.users import Users
from sources.vision import demo
from tests.gateways.web.page_rig import ARGUMENTS, CHROMIUM, PHONE, keep_snapshot
from tests.process_rig import PASSWORD, PlantreeProcess, free_port, wait_until

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "web"
SIZE: Any = {"width": 1360, "height": 850}
MOST_BYTES = 150_000
LOADS = (250, 380, 310, 460, 180, 330)
"""Set-points (kW) that the generator follows, so that its trends have something to show."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture: its file, the page, how it is shown, and what is done before."""

    name: str
    path: str
    dark: bool = False
    language: str = "en-GB"
    size: Any = None
    prepare: Callable[[Page], None] | None = None


def _ask_to_stop(page: Page) -> None:
    page.get_by_role("button", name="Emergency stop").click()


def _zoom(page: Page) -> None:
    page.locator("#chart").focus()
    for _ in range(4):
        with page.expect_response("**/api/v1/**"):
            page.keyboard.press("+")


CALM = (
    Shot("overview", "/"),
    Shot("overview-dark", "/", dark=True),
    Shot("machine", "/machine/Plant.Generator1"),
    Shot("trends", "/trends?path=Plant.Generator1.ActivePower&path=Plant.Generator1.FuelRate", prepare=_zoom),
    Shot("tree", "/tree?path=Plant.Generator1.OilPressure"),
    Shot("gallery", "/gallery"),
    Shot("stop", "/", prepare=_ask_to_stop),
)
TROUBLE = (
    Shot("alarms", "/alarms"),
    Shot("scene", "/3d"),
    Shot("latched-german", "/", language="de-DE"),
    Shot("audit", "/audit"),
    Shot("phone", "/", size=PHONE),
)


class Camera:
    """Takes pictures of the pages as a Supervisor sees them."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._states: dict[str, Any] = {}

    def take(self, shot: Shot) -> None:
        """Take one picture; raises AssertionError when it gets too large to be committed."""
        if shot.language not in self._states:
            self._states[shot.language] = self._log_in(shot.language)
        context = self._browser.new_context(
            viewport=shot.size or SIZE, locale=shot.language, reduced_motion="reduce",
            color_scheme="dark" if shot.dark else "light", storage_state=self._states[shot.language],
        )  # fmt: skip
        page = context.new_page()
        page.goto(self._url + shot.path)
        page.wait_for_selector("body[data-link=live]")
        page.wait_for_load_state("networkidle")
        if shot.prepare is not None:
            shot.prepare(page)
        page.wait_for_timeout(1500)
        file = FOLDER / f"{shot.name}.png"
        file.write_bytes(_small(page.screenshot()))
        context.close()
        assert file.stat().st_size < MOST_BYTES, f"{file}: {file.stat().st_size} bytes"  # noqa: S101
        sys.stdout.write(f"{file.relative_to(ROOT)}: {file.stat().st_size} bytes\n")

    def _log_in(self, language: str) -> Any:
        context = self._browser.new_context(locale=language)
        page = context.new_page()
        page.goto(f"{self._url}/login")
        page.locator("[name=user]").fill("sara")
        page.locator("[name=password]").fill(PASSWORD.format(name="sara"))
        page.keyboard.press("Enter")
        page.wait_for_url(f"{self._url}/")
        state = context.storage_state()
        context.close()
        return state


def _small(png: bytes) -> bytes:
    """Return the picture, with 256 colours where it is too large to be committed."""
    if len(png) < MOST_BYTES:
        return png
    written = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(
        256,
        method=Image.Quantize.MAXCOVERAGE,
        dither=Image.Dither.NONE,  # rare colours mean something
    ).save(written, "PNG", optimize=True)
    return written.getvalue()


def _keep_pictures(folder: Path) -> None:
    """Store some pictures of the demo clip as evidence, with a box around what moves most."""
    clip = cv2.VideoCapture(str(Path(demo.__file__).with_name("hall.mp4")))
    pictures: list[Any] = []
    while (read := clip.read())[0]:
        pictures.append(read[1])
    still = np.median(np.stack(pictures[:: max(1, len(pictures) // 24)]), axis=0).astype(np.uint8)
    height, width = still.shape[:2]
    for number, picture in enumerate(pictures[:: max(1, len(pictures) // 6)][:6]):
        moving = (cv2.absdiff(picture, still).max(axis=2) > 40).astype(np.uint8)
        moving = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
        _, _, found, _ = cv2.connectedComponentsWithStats(moving)
        x, y, wide, high, _ = max(found[1:].tolist(), key=lambda it: it[4], default=(0, 0, 1, 1, 1))
        box = (x / width, y / height, (x + wide) / width, (y + high) / height)
        keep_snapshot(folder, picture, box, 5 + 7 * number)


def _operate(client: httpx.Client, seconds: float) -> None:
    """Let the generator follow a few loads."""
    for load in LOADS:
        client.put("/api/v1/values/Plant.Generator1.LoadSetpoint", json={"value": load}).raise_for_status()
        time.sleep(seconds / len(LOADS))


def main() -> int:
    """Start a plant, and take every picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0, help="how long the plant runs before")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        env = {
            "PLANTREE_WEB__ENABLED": "true",
            "PLANTREE_WEB__PORT": str(port),
            "PLANTREE_WEB__LOGINS_PER_MINUTE": "100",
        }
        server = PlantreeProcess(Path(folder), env)
        users = Users(server.data / "users.sqlite", server.certs / "users")
        users.add("sara", PASSWORD.format(name="sara"), ["Supervisor", "Engineer"])
        users.close()
        _keep_pictures(server.data / "vision" / "vision")
        with server, sync_playwright() as playwright, httpx.Client(base_url=url) as client:
            wait_until(lambda: "operator page" in server.log_file.read_text(), "the operator page is there")
            login = client.post("/login", json={"user": "sara", "password": PASSWORD.format(name="sara")})
            client.headers["X-CSRF-Token"] = login.raise_for_status().json()["csrf"]
            _operate(client, arguments.seconds)
            for alarm in client.get("/api/v1/alarms").json()["alarms"]:
                client.post(f"/api/v1/alarms/{alarm['condition']}/acknowledge", json={})
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            camera = Camera(browser, url)
            for shot in CALM:
                camera.take(shot)
            fault = {"arguments": {"Fault": "oil_leak", "Magnitude": 1.0}}
            client.post("/api/v1/commands/Plant.Generator1.InjectFault", json=fault).raise_for_status()
            lost = {"arguments": {"Fault": "sensor_lost:FuelLevel", "Magnitude": 1.0}}
            client.post("/api/v1/commands/Plant.Generator1.InjectFault", json=lost).raise_for_status()
            stop = {"arguments": {"Reason": "Belt torn"}}
            client.post("/api/v1/commands/Plant.Line2.EmergencyStop", json=stop).raise_for_status()
            time.sleep(arguments.seconds / 12)  # for the oil to run out
            for shot in TROUBLE:
                camera.take(shot)
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
