"""The operator page of a real plant in a real browser: Debian's Chromium without a screen, driven by Playwright."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from address_space import load_plant
from server.alarms.database import AlarmDatabase
from server.alarms.ports import Snapshot
from server.evidence import Detection, Evidence
from server.security.users import Users
from server.settings import CHECKOUT
from server.store.ticks import to_ticks
from sources.vision.draw import annotated
from sources.vision.evidence import EvidenceStore, evidence_id
from sources.vision.settings import EvidenceSettings
from tests.process_rig import PASSWORD, PlantreeProcess, free_port, wait_until

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
]
ROLES = {
    "olga": "Operator",
    "sara": "Supervisor",
    "ada": "SecurityAdmin",
    "egon": "Engineer",
    "ulf": "AuthenticatedUser",
}
PLANT = CHECKOUT / "address_space" / "plant.yaml"
RACK = """\
<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd">
  <NamespaceUris><Uri>urn:example:rack</Uri></NamespaceUris>
  <Aliases><Alias Alias="Int32">i=6</Alias></Aliases>
  <UAObject NodeId="ns=1;s=Rack" BrowseName="1:Rack">
    <DisplayName>Rack</DisplayName>
    <References>
      <Reference ReferenceType="i=40">i=58</Reference>
      <Reference ReferenceType="i=35" IsForward="false">i=85</Reference>
    </References>
  </UAObject>
  <UAVariable NodeId="ns=1;s=Rack.Slots" BrowseName="1:Slots" DataType="Int32" ParentNodeId="ns=1;s=Rack">
    <DisplayName>Slots</DisplayName>
    <References>
      <Reference ReferenceType="i=40">i=63</Reference>
      <Reference ReferenceType="i=47" IsForward="false">ns=1;s=Rack</Reference>
    </References>
    <Value><Int32 xmlns="http://opcfoundation.org/UA/2008/02/Types.xsd">4711</Int32></Value>
  </UAVariable>
</UANodeSet>
"""
"""Nodes that are loaded beside the plant file."""
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@dataclass
class Rig:
    """A plant with its operator page, and a browser; `requested` is every address that the browser asked for."""

    server: PlantreeProcess
    url: str
    browser: Browser
    requested: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What scripts threw, and what the browser complained about."""
    _states: dict[tuple[str, str], Any] = field(default_factory=dict)

    @contextlib.contextmanager
    def page(
        self, user: str = "", path: str = "/", *, language: str = "en-GB", size: dict[str, int] | None = None,
        dark: bool = False,
    ) -> Iterator[Page]:  # fmt: skip
        """Open a page as a user, who logs in once; without a user as a stranger."""
        options: dict[str, Any] = {"viewport": size or WIDE, "locale": language, "reduced_motion": "reduce"}
        options["color_scheme"] = "dark" if dark else "light"
        key = (user, language)
        if key in self._states:
            options["storage_state"] = self._states[key]
        context = self.browser.new_context(**options)
        try:
            page = context.new_page()
            page.set_default_timeout(15_000)
            page.on("request", lambda request: self.requested.append(request.url))
            page.on("websocket", lambda socket: self.requested.append(socket.url))
            page.on("pageerror", lambda error: self.faults.append(str(error)))
            if user and key not in self._states:
                self.log_in(page, user)
                self._states[key] = context.storage_state()
            page.goto(self.url + path)
            if user:
                page.wait_for_selector("body[data-link=live]")
            yield page
        finally:
            context.close()

    def log_in(self, page: Page, user: str, password: str | None = None) -> None:
        """Fill in the login, and wait for the overview where the password is right."""
        page.goto(f"{self.url}/login")
        page.get_by_role("textbox").first.fill(user)
        page.locator("input[type=password]").fill(PASSWORD.format(name=user) if password is None else password)
        page.get_by_role("button").click()
        if password is None:
            page.wait_for_url(f"{self.url}/")

    def simulator(self, index: int) -> int:
        """Return the process of a simulated PLC, in the order in which they started."""
        started = wait_until(
            lambda: [it for it in self.server.log() if it.get("message") == "PLC simulator started"], "PLCs"
        )
        return int(started[index]["pid"])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Start the default plant with its operator page, and a browser."""
    if not Path(CHROMIUM).exists():
        pytest.skip("there is no chromium (Debian package chromium)")
    folder = tmp_path_factory.mktemp("page")
    port = free_port()
    env = {
        "PLANTREE_WEB__ENABLED": "true",
        "PLANTREE_WEB__PORT": str(port),
        "PLANTREE_WEB__LOGINS_PER_MINUTE": "100",
        "PLANTREE_SOURCES__STALE_AFTER": "1",
        "PLANTREE_SOURCES__BAD_AFTER": "3",
    }
    (folder / "rack.xml").write_text(RACK, encoding="utf-8")
    env["PLANTREE_NODESETS"] = str(folder / "rack.xml")
    server = PlantreeProcess(folder, env)
    users = Users(server.data / "users.sqlite", server.certs / "users")
    for name, role in ROLES.items():
        users.add(name, PASSWORD.format(name=name), [role])
    users.close()
    tell_alarm(server.data, keep_snapshot(server.data / "vision" / "vision"))
    # Playwright asks for a folder of its own browsers even where it is given another.
    with server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: "operator page" in server.log_file.read_text(), "the operator page is there")
        try:
            yield Rig(server, url, browser)
        finally:
            browser.close()


def tell_alarm(data: Path, evidence: Evidence) -> None:
    """Keep the event of an alarm of the past that had this evidence."""
    database = AlarmDatabase(data / "alarms.sqlite")
    condition = load_plant(PLANT).find_condition(f"{evidence.camera}.{evidence.rule}Alarm")
    assert condition is not None
    raised = Snapshot(condition, event_id=b"e" * 16, time=evidence.frame_time, active=True, evidence=evidence)
    over = raised._replace(event_id=b"f" * 16, active=False, evidence=None)
    database.post([raised, over]).result(10)
    database.close()


def keep_snapshot(
    folder: Path, picture: Any = None, box: tuple[float, float, float, float] = (0.4, 0.2, 0.6, 0.9), minute: int = 30
) -> Evidence:
    """Store the evidence of an alarm as the vision source does it; `picture` is BGR, a made-up one by default."""
    if picture is None:
        rows, columns = np.mgrid[0:240, 0:320]
        picture = np.stack((columns // 2, rows, 200 - rows // 2), -1).astype(np.uint8)
    seen = Detection("person", 0.87, box, "people")
    moment = to_ticks(datetime.now(UTC) - timedelta(minutes=60 - minute))
    boxed = annotated(picture, [seen], seen, [], "Camera1  ForbiddenZone")
    name = evidence_id("Plant.Camera1", "ForbiddenZone", moment)
    found = Evidence(name, "Plant.Camera1", "ForbiddenZone", seen, moment, "people", "0" * 64, 41.0, "", "", "", "")
    return EvidenceStore(folder, EvidenceSettings()).store(found, _jpeg(boxed), _jpeg(picture))


def _jpeg(picture: Any) -> bytes:
    done, data = cv2.imencode(".jpg", picture)
    assert done
    return bytes(data)


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Let a process stand still for the time of a `with` block: as good as cut off, and nobody is told."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
