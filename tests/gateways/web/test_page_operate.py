"""The operator page: what an operator does with alarms, set-points, commands and the emergency stop."""

import re
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Page, expect

from address_space import load_plant
from server.security.certificates import load_or_create
from server.security.pki import thumbprint
from server.settings import CHECKOUT
from tests.gateways.web.page_rig import PHONE, PLANT, WIDE, Rig, rig
from tests.process_rig import PASSWORD

__all__ = ["rig"]

AXE = CHECKOUT / "node_modules" / "axe-core" / "axe.min.js"
PATHS = ("/", "/machine/Plant.Generator1", "/alarms", "/trends", "/3d", "/gallery", "/audit",
         "/tree?path=Plant.Generator1.OilPressure")  # fmt: skip
# Of a tree item with items below it, the rule takes those for its label.
RUN_AXE = """async (tags) => (await axe.run(document, { runOnly: tags, rules: {
    "label-content-name-mismatch": { enabled: !document.getElementById("tree") } } })).violations.map(
    (it) => `${it.id}: ${it.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`)"""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LATCH = '[data-latch="Plant.Line2"]'
OVERSPEED = "Plant.Generator1.Overspeed"
FAULTED = 'tr[data-condition="Plant.Line2.Faulted"]'


def stop(page: Page, machine: str, reason: str) -> None:
    page.get_by_role("button", name="Emergency stop").first.click()
    page.get_by_label("What to stop").select_option(machine)
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name="Stop now").click()


def test_a_stop_asks_first_and_shows_its_latch_and_cause(rig: Rig) -> None:
    with rig.page("olga", "/trends") as page:
        page.get_by_role("button", name="Emergency stop").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        assert page.locator(LATCH).count() == 0  # nothing was stopped
        stop(page, "Plant.Line2", "belt torn")
        expect(page.locator(LATCH)).to_contain_text("Emergency stop is latched: Line2")
        expect(page.locator(LATCH)).to_contain_text(re.compile(r"belt torn – olga, web 127\.0\.0\.1"))
        page.goto(f"{rig.url}/")
        expect(page.locator('.columns-4 text[data-path="Plant.Line2.State"]')).to_have_text("Emergency stopped")
        expect(page.locator('.columns-4 .latched[data-path="Plant.Line2.EmergencyStopActive"]')).to_be_visible()
        expect(page.locator('.columns-4 .latched[data-path="Plant.Line1.EmergencyStopActive"]')).to_be_hidden()
        expect(page.locator('.columns-4 [data-marks="Plant.Line2"] .marker')).to_be_visible()


def test_an_alarm_is_acknowledged_by_key(rig: Rig) -> None:
    with rig.page("olga", "/alarms") as page:
        row = page.locator(FAULTED)
        expect(row).to_contain_text("unacknowledged")
        row.focus()
        page.keyboard.press("a")
        expect(row).not_to_contain_text("unacknowledged")
        expect(row.get_by_role("button", name="Acknowledge")).to_have_count(0)


def test_an_alarm_is_commented_and_shelved(rig: Rig) -> None:
    with rig.page("olga", "/alarms") as page:
        row = page.locator(FAULTED)
        row.get_by_role("button", name="Comment").click()
        page.locator("#ask-fields input").fill("the belt comes at noon <b>")
        page.locator("#ask-confirm").click()
        expect(row).to_contain_text("„the belt comes at noon <b>“ (olga)")
        row.get_by_role("button", name="Shelve").click()
        page.locator("#ask-fields select").select_option("10")
        page.locator("#ask-confirm").click()
        expect(row).to_contain_text("shelved")
        row.get_by_role("button", name="Unshelve").click()
        expect(row).not_to_contain_text("shelved")


def test_every_condition_is_there_and_who_may_not_shelve_is_told(rig: Rig) -> None:
    with rig.page("egon", "/alarms") as page:
        row = page.locator(FAULTED)
        row.get_by_role("button", name="Shelve").click()
        page.locator("#ask-confirm").click()
        expect(page.locator("#ask-error")).to_contain_text("Operator")
        expect(row).not_to_contain_text("shelved")
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="All conditions").click()
        for condition in load_plant(PLANT).conditions:
            expect(page.locator(f'tr[data-condition="{condition.path}"]').first).to_be_visible()


def more(page: Page, condition: str, operation: str) -> None:
    """Choose what is done more rarely with a condition."""
    page.locator(f'tr[data-condition="{condition}"]').first.get_by_role("button", name="More").click()
    page.locator(f'#ask-fields [data-do="{operation}"]').click()


def test_an_alarm_is_suppressed_and_taken_out_of_service_by_keys(rig: Rig) -> None:
    with rig.page("olga", "/alarms") as page:
        page.get_by_role("button", name="All conditions").click()
        row = page.locator(FAULTED)
        for there, back, state in (
            ("suppress", "unsuppress", "suppressed"), ("remove_from_service", "place_in_service", "out of service")
        ):  # fmt: skip
            row.focus()
            page.keyboard.press("o")
            page.locator(f'[data-do="{there}"]').focus()
            page.keyboard.press("Enter")
            page.keyboard.type("belt is changed")
            page.keyboard.press("Enter")
            expect(row).to_contain_text(state)
            expect(row).to_contain_text("„belt is changed“ (olga)")
            expect(page.get_by_role("dialog")).to_be_hidden()
            expect(row).to_be_focused()
            more(page, "Plant.Line2.Faulted", back)
            expect(row).not_to_contain_text(state)
        row.get_by_role("button", name="More").click()
        assert page.locator('[data-do="disable"], [data-do="limits"]').count() == 0  # that is an Engineer's


def test_an_engineer_disables_and_changes_limits(rig: Rig) -> None:
    with rig.page("egon", "/alarms") as page:
        page.get_by_role("button", name="All conditions").click()
        row = page.locator(f'tr[data-condition="{OVERSPEED}"]')
        row.get_by_role("button", name="More").click()
        assert page.locator('[data-do="suppress"]').count() == 0  # that is an Operator's
        page.locator('[data-do="disable"]').click()
        page.locator("#ask-confirm").click()
        expect(row).to_contain_text("disabled")
        more(page, OVERSPEED, "enable")
        expect(row).not_to_contain_text("disabled")
        limits = load_plant(PLANT).find_condition(OVERSPEED).declaration.limits  # type: ignore[union-attr]
        more(page, OVERSPEED, "limits")
        high, high_high = page.get_by_label("High", exact=False).nth(1), page.get_by_label("High high")
        expect(page.get_by_text(f"Plant file: {limits['high']:,.0f} r/min")).to_be_visible()
        high.fill(str(limits["high_high"] + 10))
        page.locator("#ask-confirm").click()
        expect(page.locator("#ask-error")).to_contain_text("high < high_high")
        high_high.fill(str(limits["high_high"] + 20))
        page.locator("#ask-confirm").click()
        expect(page.get_by_role("dialog")).to_be_hidden()
        more(page, OVERSPEED, "limits")
        expect(high).to_have_value(str(int(limits["high_high"] + 10)))
        expect(page.get_by_text(f"Plant file: {limits['high']:,.0f} r/min")).to_be_visible()


def test_a_reset_takes_two_steps_and_the_right_role(rig: Rig) -> None:
    with rig.page("olga") as page:
        page.locator(LATCH).get_by_role("button", name="Reset").click()
        page.get_by_role("button", name="Ask for release").click()
        expect(page.locator("#reset-error")).to_contain_text("Supervisor")
        expect(page.get_by_role("button", name="Release now")).to_be_hidden()
    with rig.page("sara") as page:
        page.locator(LATCH).get_by_role("button", name="Reset").click()
        expect(page.locator("#reset-text")).to_contain_text("belt torn")
        page.get_by_role("button", name="Ask for release").click()
        expect(page.locator("#reset-text")).to_contain_text("The server agrees")
        expect(page.locator(LATCH)).to_be_visible()  # asking alone releases nothing
        page.get_by_role("button", name="Release now").click()
        expect(page.locator(LATCH)).to_have_count(0)
        state = page.locator('.columns-4 text[data-path="Plant.Line2.State"]')
        expect(state).to_have_text("Stopped")


def test_a_command_is_run_and_a_setpoint_written(rig: Rig) -> None:
    with rig.page("olga", "/machine/Plant.Line2") as page:
        page.get_by_role("button", name="Start", exact=True).click()
        page.locator("#ask-confirm").click()
        expect(page.locator('.value[data-path="Plant.Line2.State"]')).to_have_text(re.compile("Starting|Running"))
        form = page.locator('[data-write="Plant.Line2.SpeedSetpoint"]')
        form.locator("input").fill("88.5")
        form.get_by_role("button").click()
        expect(page.locator('.value[data-path="Plant.Line2.SpeedSetpoint"]')).to_have_text(re.compile(r"^8[89]"))
        page.goto(f"{rig.url}/machine/Plant.Generator1")
        expect(page.get_by_role("button", name="Inject fault")).to_be_disabled()
        expect(page.locator('[data-write="Plant.Generator1.Tariff"] button')).to_be_disabled()


def test_a_fault_is_injected_by_who_may(rig: Rig) -> None:
    with rig.page("egon", "/machine/Plant.Generator1") as page:
        page.get_by_role("button", name="Inject fault").click()
        page.locator("#ask-fields [name=Fault]").fill("sensor_lost:FuelLevel")
        page.locator("#ask-fields [name=Magnitude]").fill("1")
        page.locator("#ask-confirm").click()
        level = page.locator('.value[data-path="Plant.Generator1.FuelLevel"]')
        expect(level).to_have_attribute("data-quality", "bad")
        expect(level).to_have_text("—")
        expect(page.locator('.quality[data-path="Plant.Generator1.FuelLevel"]')).to_contain_text("BadSensorFailure")


def test_the_audit_trail_is_for_who_may_see_it(rig: Rig) -> None:
    with rig.page("olga") as page:
        assert page.get_by_role("link", name="Audit trail").count() == 0
        answer = page.goto(f"{rig.url}/audit")
        assert answer is not None
        assert answer.status == 403
        assert page.goto(f"{rig.url}/certificates").status == 403  # type: ignore[union-attr]
    with rig.page("sara", "/audit") as page:
        row = page.locator("#audit-rows tr", has_text="Plant.Line2.EmergencyStop").filter(has_text="belt torn")
        expect(row).to_contain_text("olga")
        expect(row).to_contain_text("web 127.0.0.1")
        expect(page.locator("#audit-rows tr.refused", has_text="ResetEmergencyStop").first).to_contain_text(
            "BadUserAccessDenied"
        )
        page.get_by_placeholder("Filter").fill("nobody did that")
        expect(row).to_be_hidden()


def test_the_audit_trail_goes_on_where_its_page_ended(rig: Rig) -> None:
    with httpx.Client(base_url=rig.url) as client:
        login = client.post("/login", json={"user": "olga", "password": PASSWORD.format(name="olga")})
        client.headers["X-CSRF-Token"] = login.raise_for_status().json()["csrf"]
        for number in range(110):
            body = {"comment": f"number {number}."}
            client.post("/api/v1/alarms/Plant.Line2.Faulted/comment", json=body).raise_for_status()
    with rig.page("sara", "/audit") as page:
        rows = page.locator("#audit-rows tr")
        expect(rows).to_have_count(100)
        expect(rows.filter(has_text="number 5.")).to_have_count(0)
        page.get_by_role("button", name="Older").click()
        for number in (0, 5, 50, 109):  # each once: none is left out, none comes twice
            expect(rows.filter(has_text=f"number {number}.")).to_have_count(1)


def test_a_certificate_is_trusted_after_one_question(rig: Rig, tmp_path: Path) -> None:
    own = load_or_create(tmp_path, host_names=["desk"], days=2)
    (rig.server.certs / "rejected" / "desk.der").write_bytes(own.certificate.public_bytes(Encoding.DER))
    with rig.page("ada", "/certificates") as page:
        row = page.locator("#rows-waiting tr", has_text=thumbprint(own.certificate))
        row.get_by_role("button", name="Trust").click()
        assert not (rig.server.certs / "trusted" / "desk.der").exists()  # it has only asked
        page.locator("#ask-confirm").click()
        expect(page.locator("#rows-trusted tr", has_text=thumbprint(own.certificate))).to_be_visible()
        expect(row).to_have_count(0)
        assert (rig.server.certs / "trusted" / "desk.der").exists()


def test_the_gallery_shows_snapshots_with_boxes_and_clean(rig: Rig) -> None:
    with rig.page("olga", "/gallery") as page:
        picture = page.locator("#pictures img")
        expect(picture).to_have_count(1)
        assert picture.evaluate("(it) => it.decode().then(() => it.naturalWidth)") == 320
        expect(page.locator("#pictures")).to_contain_text("Camera1 · person 87 %")
        with page.expect_response(re.compile(r"clean=true")):
            page.get_by_role("button", name="with boxes").click()
        page.locator("#pictures button").click()
        expect(page.get_by_role("dialog")).to_contain_text("ForbiddenZone")
        page.get_by_role("button", name="Report a false alarm").click()
        page.get_by_label("Comment").fill("a broom")
        page.locator("#ask-confirm").click()
        expect(page.get_by_role("status")).to_contain_text("Done")
    kept = [it for it in (rig.server.data / "vision").rglob("*.json") if "a broom" in it.read_text(encoding="utf-8")]
    assert len(kept) == 1


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.exists():
        pytest.skip("axe-core is not there (npm ci)")
    return AXE.read_text(encoding="utf-8")


def test_axe_finds_nothing(rig: Rig, axe: str) -> None:
    found: dict[str, list[str]] = {}

    def look(page: Page, path: str) -> None:
        page.goto(rig.url + path)
        page.evaluate(axe)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            found[f"{path} {theme}"] = page.evaluate(RUN_AXE, TAGS)
        page.set_viewport_size(PHONE)
        found[f"{path} phone"] = page.evaluate(RUN_AXE, TAGS)
        page.set_viewport_size(WIDE)

    with rig.page(path="/login") as page:
        look(page, "/login")
    with rig.page("sara") as page:
        for path in PATHS:
            look(page, path)
    with rig.page("ada") as page:
        look(page, "/certificates")
    assert {where: faults for where, faults in found.items() if faults} == {}


def test_axe_finds_nothing_in_what_opens(rig: Rig, axe: str) -> None:
    with rig.page("egon", "/alarms") as page:
        page.evaluate(axe)
        page.get_by_role("button", name="All conditions").click()
        page.locator(f'tr[data-condition="{OVERSPEED}"]').get_by_role("button", name="More").click()
        assert page.evaluate(RUN_AXE, TAGS) == []
        page.locator('[data-do="limits"]').click()
        expect(page.get_by_label("High high")).to_be_visible()
        assert page.evaluate(RUN_AXE, TAGS) == []
        page.goto(f"{rig.url}/tree")
        page.evaluate(axe)
        page.get_by_placeholder("Search").fill("oil")
        expect(page.locator("#found a").first).to_be_visible()
        assert page.evaluate(RUN_AXE, TAGS) == []


def test_no_script_broke(rig: Rig) -> None:
    assert rig.faults == []
