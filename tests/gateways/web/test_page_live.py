"""The operator page: logging in, values that live, and values that must not look as if they did."""

import re

import httpx
from playwright.sync_api import Locator, Page, expect

from address_space import load_plant
from tests.gateways.web.page_rig import PHONE, PLANT, Rig, frozen, rig
from tests.process_rig import PASSWORD

__all__ = ["rig"]

SPEED = '.columns-4 text[data-path="Plant.Energy.PowerConsumption"]'
LINE = '.columns-4 text[data-path="Plant.Line{}.LineSpeed"]'


def texts_of(page: Page, selector: str, count: int) -> list[str]:
    """Return so many different texts that an element has, one after the other."""
    return page.evaluate(
        """([selector, count]) => new Promise((done) => {
            const element = document.querySelector(selector), found = [element.textContent];
            new MutationObserver(() => {
                if (found.at(-1) !== element.textContent) found.push(element.textContent);
                if (found.length >= count) done(found);
            }).observe(element, { childList: true, characterData: true, subtree: true });
        })""",
        [selector, count],
    )


def test_a_stranger_sees_the_login_alone(rig: Rig) -> None:
    with rig.page(path="/machine/Plant.Line1") as page:
        assert page.url.startswith(f"{rig.url}/login")
        assert page.locator("[data-path]").count() == 0


def test_a_wrong_password_is_told_and_the_right_one_leads_where_one_wanted(rig: Rig) -> None:
    with rig.page() as page:
        rig.log_in(page, "olga", "wrong")
        expect(page.get_by_role("alert")).to_have_text("User or password is wrong.")
        page.goto(f"{rig.url}/machine/Plant.Line1")
        page.get_by_role("textbox").first.fill("olga")
        page.locator("input[type=password]").fill("correct horse olga")
        page.keyboard.press("Enter")
        page.wait_for_url(f"{rig.url}/machine/Plant.Line1")
        cookies = page.context.cookies()
        assert [(it["httpOnly"], it["sameSite"]) for it in cookies] == [(True, "Strict")]


def test_logging_out_ends_it(rig: Rig) -> None:
    with rig.page() as page:
        rig.log_in(page, "egon")
        page.locator(".user summary").click()
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{rig.url}/login")
        page.goto(f"{rig.url}/")
        page.wait_for_url(f"{rig.url}/login")


def test_values_change_by_themselves(rig: Rig) -> None:
    with rig.page("olga") as page:
        found = texts_of(page, '.columns-4 text[data-path="Plant.Energy.PowerConsumption"]', 3)
        assert len(set(found)) >= 2
        assert all(re.fullmatch(r"\d+", text) for text in found), found
        expect(page.locator('.columns-4 text[data-path="Plant.Generator1.State"]')).to_have_text("Running")
        assert page.locator(f"{SPEED}[data-quality=good]").count() == 1


def test_a_source_that_goes_silent_is_seen(rig: Rig) -> None:
    with rig.page("olga") as page:
        speeds = {number: page.locator(LINE.format(number)) for number in (1, 2, 3)}
        expect(speeds[1]).to_have_attribute("data-quality", "good")
        with frozen(rig.simulator(0)):
            silent = page.locator('.columns-4 text[data-path$=".LineSpeed"]:not([data-quality=good])')
            expect(silent).to_have_count(1)
            path = silent.get_attribute("data-path")
            mine = page.locator(f'.columns-4 text[data-path="{path}"]')
            expect(mine).to_have_attribute("data-quality", "bad")
            expect(mine).to_have_text("✕ —")  # no number any more
            page.goto(f"{rig.url}/machine/{str(path).rpartition('.')[0]}")
            told = page.locator(f'.quality[data-path="{path}"]')
            expect(told).to_have_text(re.compile(r"^Bad\w+ · \d+ s$"))
            first = told.text_content()
            expect(told).not_to_have_text(str(first))  # it grows older before one's eyes
        expect(page.locator(f'.value[data-path="{path}"]')).to_have_attribute("data-quality", "good")


def test_a_lost_connection_is_seen_and_heals(rig: Rig) -> None:
    assert rig.server.process is not None
    with rig.page("olga") as page:
        speed = page.locator(SPEED)
        expect(speed).to_have_css("text-decoration-line", "none")
        with frozen(rig.server.process.pid):
            expect(page.locator("body")).to_have_attribute("data-link", "lost")
            expect(page.locator("#link-text")).to_have_text("NO CONNECTION")
            expect(speed).to_have_css("text-decoration-line", "line-through")
            expect(page.locator('.columns-4 .pointer[data-path="Plant.Energy.PowerConsumption"]')).to_be_hidden()
        expect(page.locator("body")).to_have_attribute("data-link", "live")
        texts_of(page, SPEED, 2)
        expect(speed).to_have_css("text-decoration-line", "none")


def test_a_phone_shows_the_same_in_one_column(rig: Rig) -> None:
    with rig.page("olga", size=PHONE) as page:
        expect(page.locator(".mimic.columns-1")).to_be_visible()
        expect(page.locator(".mimic.columns-4")).to_be_hidden()
        expect(page.get_by_role("button", name="Emergency stop")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name="Trends").click()
        page.wait_for_url(re.compile(r"/trends"))
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_language_changes_and_stays(rig: Rig) -> None:
    with rig.page() as page:
        rig.log_in(page, "egon")
        page.get_by_role("button", name="Deutsch").click()
        expect(page.get_by_role("heading", name="Übersicht")).to_be_visible()
        expect(page.get_by_role("button", name="Not-Halt")).to_be_visible()
        assert page.locator("html").get_attribute("lang") == "de"
        expect(page.locator('.columns-4 text[data-path="Plant.Generator1.State"]')).to_have_text("Läuft")
        expect(page.get_by_text("Linie 1", exact=True).first).to_be_visible()
        page.goto(f"{rig.url}/machine/Plant.Generator1")
        expect(page.get_by_role("link", name="Öldruck", exact=True)).to_be_visible()
        expect(page.locator('.value[data-path="Plant.Generator1.OilPressure"]')).to_have_text(re.compile(r"^\d,\d\d$"))


def test_a_trend_shows_history_and_follows(rig: Rig) -> None:
    with rig.page("olga", "/trends?path=Plant.Generator1.Speed&path=Plant.Energy.PowerConsumption") as page:
        chart = page.locator("#chart")
        expect(chart).to_have_attribute("data-points", re.compile(r"^[1-9]\d+$"))
        chart.focus()
        for _ in range(3):  # 60, 30, 15, 7 minutes: then samples as they are
            with page.expect_response(re.compile(r"/api/v1/(history|aggregates)/")):
                page.keyboard.press("+")
        expect(chart).to_have_attribute("data-points", re.compile(r"^\d{3,}$"))
        page.get_by_text("As a table").click()
        row = page.locator("#trend-table tr", has_text="Power consumption")
        expect(row.locator("td").nth(1)).to_have_text(re.compile(r"^\d"))
        page.get_by_label("Add a variable").select_option("Plant.Line1.State")
        expect(page.locator("#curves li")).to_have_count(3)
        assert "Plant.Line1.State" in page.url
        page.get_by_role("button", name=re.compile("Remove Generator1")).click()
        expect(page.locator("#curves li")).to_have_count(2)
        page.get_by_role("button", name="Day").click()
        expect(page.get_by_role("button", name="Day")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#trend-error")).to_have_text("")


def test_the_scene_is_drawn_and_its_list_says_the_same(rig: Rig) -> None:
    with rig.page("olga", "/3d") as page:
        expect(page.locator("#scene")).to_have_attribute("data-drawn", re.compile(r"\d+"))
        expect(page.locator('[data-row="Plant.Generator1"] .value')).to_have_text("Running")
        white = page.evaluate(
            "getComputedStyle(document.querySelector('[data-swatch=\"Plant.Generator1\"]')).backgroundColor"
        )
        assert white == "rgb(255, 255, 255)"


def test_the_mimic_is_walked_by_arrow_keys(rig: Rig) -> None:
    with rig.page("olga") as page:
        page.locator('.columns-4 [data-machine="Plant.Line1"]').focus()
        page.keyboard.press("ArrowRight")
        focused = "document.activeElement.dataset.machine"
        assert page.evaluate(focused) == "Plant.Line2"
        page.keyboard.press("ArrowUp")
        assert page.evaluate(focused) == "Plant.Generator1"
        page.keyboard.press("Enter")
        page.wait_for_url(f"{rig.url}/machine/Plant.Generator1")


def node(page: Page, name: str) -> Locator:
    return page.locator(f'#tree [data-node="{name}"]').first


def test_the_tree_is_walked_by_keys(rig: Rig) -> None:
    with rig.page("olga", "/tree") as page:
        node(page, "ns=2;s=Plant.Generator1").focus()
        page.keyboard.press("ArrowRight")
        speed = node(page, "ns=2;s=Plant.Generator1.Speed")
        expect(speed).to_be_visible()
        expect(speed.locator(".value").first).to_have_text(re.compile(r"^[\d,]+$"))
        speed.focus()
        for key in ("ArrowUp", "Enter"):
            page.keyboard.press(key)
        expect(page.locator("#node h2")).to_have_text("State")
        expect(page.locator("#node")).to_contain_text("ns=2;s=Plant.Generator1.State")
        expect(page.locator("#node")).to_contain_text("GeneratorState")
        expect(page.locator('#node [data-show="value"]')).to_have_text("Running")
        page.locator('#node a[data-go="ns=2;s=Plant.Generator1.Tripped"]').click()
        expect(page.locator("#node h2")).to_have_text("Tripped")
        expect(node(page, "ns=2;s=Plant.Generator1.Tripped")).to_have_attribute("aria-selected", "true")


def test_the_tree_has_what_is_not_the_plant_s(rig: Rig) -> None:
    with rig.page("olga", "/tree") as page:
        page.get_by_placeholder("Search").fill("currenttime")
        page.locator('#found a[data-go="i=2258"]').click()
        expect(page.locator("#node h2")).to_have_text("CurrentTime")
        expect(node(page, "i=2258")).to_be_focused()  # its branches are open
        value = page.locator('#node [data-attribute="Value"]')
        before = value.text_content()
        expect(value).not_to_have_text(before or "")  # it lives
        page.goto(f"{rig.url}/tree?path=ns%3D3%3Bs%3DRack.Slots")
        expect(node(page, "ns=3;s=Rack")).to_be_visible()
        expect(page.locator('#node [data-attribute="Value"]')).to_have_text("4711")
        node(page, "i=86").locator(".entry").first.click()
        page.goto(f"{rig.url}/tree?path=ns%3D2%3Bs%3DGeneratorType")
        expect(node(page, "ns=2;s=GeneratorType")).to_have_attribute("aria-selected", "true")
        expect(page.locator("#node")).to_contain_text("SubtypeOf")
        answer = page.goto(f"{rig.url}/tree?path=i%3D84")
        assert answer is not None
        assert answer.status == 200
        expect(page.locator("#node h2")).to_have_text("Root")
        answer = page.goto(f"{rig.url}/tree?path=ns%3D9%3Bs%3DNothing")
        assert answer is not None
        assert answer.status == 404


def test_the_tree_shows_what_a_client_with_these_rights_would_see(rig: Rig) -> None:
    with rig.page("olga", "/tree?path=Plant.Generator1.Tariff") as page:
        access = page.locator('#node [data-attribute="UserAccessLevel"]')
        expect(access).not_to_contain_text("CurrentWrite")
        page.goto(f"{rig.url}/tree?path=i%3D3708")  # SessionSecurityDiagnosticsArray, a SecurityAdmin's
        expect(page.locator('#node [data-attribute="StatusCode"]')).to_have_text("BadUserAccessDenied")
    with rig.page("sara", "/tree?path=Plant.Generator1.Tariff") as page:
        expect(page.locator('#node [data-attribute="UserAccessLevel"]')).to_contain_text("CurrentWrite")


def test_the_tree_speaks_german(rig: Rig) -> None:
    with rig.page("olga", "/tree?path=Plant.Generator1.OilPressure", language="de-DE") as page:
        expect(page.locator("#node h2")).to_have_text("Öldruck")
        page.get_by_placeholder("Suchen").fill("öltemp")
        expect(page.locator("#found a")).to_have_text(["Öltemperatur"])


def test_alarms_are_told_in_the_language_of_the_page(rig: Rig) -> None:
    asked = """async () => (await import("/static/alarm-state.js")).listOf([
        {name: "LowFuel", message: "Fuel is low: back to normal"}, {name: "Other", message: "Never heard of"}])"""
    with rig.page("olga", "/alarms", language="de-DE") as page:
        assert page.evaluate(asked) == [
            {"name": "Kraftstoffmangel", "message": "Kraftstoff geht zur Neige: wieder normal"},
            {"name": "Other", "message": "Never heard of"},
        ]


def test_the_tree_has_every_node_that_a_client_browses(rig: Rig) -> None:
    plant = load_plant(PLANT)
    with httpx.Client(base_url=rig.url) as client:
        client.post("/login", json={"user": "sara", "password": PASSWORD.format(name="sara")}).raise_for_status()
        pages = {it.path: client.get(f"/machine/{it.path}").raise_for_status().text for it in plant.objects}
        linked = set(re.findall(r'href="/machine/([^"]+)"', client.get("/").text + pages[plant.root.path]))
        for machine in plant.objects:
            branch = client.get("/tree/children", params={"path": machine.path}).raise_for_status().text
            below = [it.path for it in (*plant.children(machine), *machine.commands.values())]
            below += [it.path for it in plant.conditions if it.machine is machine]
            for path in (*below, *(it.path for it in machine.variables.values())):
                assert f'data-node="ns=2;s={path}"' in branch, path
            for variable in machine.variables.values():
                assert f'data-path="{variable.path}" data-show="value"' in pages[machine.path], variable.path
                assert f'data-path="{variable.path}" data-show="value"' in branch, variable.path
        for variable in plant.machine("Plant.Generator1").variables.values():
            shown = client.get("/tree/node", params={"path": variable.path}).raise_for_status().text
            assert f"ns=2;s={variable.path}<" in shown
        first = {it.path for it in plant.children(plant.root)}
        assert first | {plant.root.path} <= linked


def test_nothing_is_asked_of_anybody_else(rig: Rig) -> None:
    assert len(rig.requested) > 50
    others = [it for it in rig.requested if not it.startswith((rig.url, rig.url.replace("http", "ws"), "data:"))]
    assert others == []
    assert rig.faults == []
