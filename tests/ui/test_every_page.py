"""Every page: no errors, no request to other hosts, no code from data, usable on a phone and with a screen reader."""

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect
from sqlalchemy import insert

from scripts.build_editor import WEB
from services.api.ui.page_script import page_script
from shared.audit.chain import FIELDS
from shared.ids import new_run_id
from shared.store import tables as t
from shared.store.engine import open_engine, transaction
from tests.harness.accessibility import barriers
from tests.harness.browser import PHONE, go_to
from tests.harness.cluster import Deployment
from tests.ui.conftest import MOST_REQUESTS, PLAIN_EDITOR, Look, origin

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
WATCHED = ("/health", "/approvals", "/workspaces")
"""What each page that is open asks for after it has shown its data: the first two every ten seconds, the last once."""
BUNDLED = page_script(WEB) != "main.js"
"""Without npm a page loads some sixty modules; ``test_editor.py`` tells where npm is missing."""
LINKS = {
    "dags/": "dags",
    "dags/show/history?remoteNode=local": "dags/show?tab=runs",
    "dags/show/webhook": "dags/show",
    "dag-runs": "runs",
    "dag-runs/show/s1": "runs/show/s1",
    "dag-runs/show/s1?subDAGRunId=s%261&dagRunId=s1&dagRunName=show": "runs/show/s1/sub/s%261",
    "system-status": "system",
}
EVIL = "<img src=x onerror=alert(1)>"
INJECTIONS = (
    EVIL,
    "<script>alert(1)</script>",
    "<svg onload=alert(1)>",
    """"'><iframe srcdoc='<script>alert(1)</script>'></iframe>""",
    "<a href=javascript:alert(1)>x</a>",
    "[x](javascript:alert(1))",
    "</style><style>*{display:none}</style>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<form action=//evil.example><button>x</button></form>",
    "&lt;img src=x onerror=alert(1)&gt;",
    "{{constructor.constructor('alert(1)')()}}",
)
"""Texts that would be markup, a link or code in a page that takes them for more than text."""
FOREIGN = """() => [...document.querySelectorAll(
    "main :is(script, img, iframe, style, base, meta, object, embed, form[action], [onerror], [onload]), "
    + "main a[href^='javascript:' i]")].map((each) => each.outerHTML.slice(0, 120))"""
PAGES = (
    "#/home", "#/dags", "#/dags/show",
    "#/dags/show?tab=runs", "#/dags/show?tab=spec", "#/dags/show?tab=versions&version=1",
    "#/dags/show?tab=slots", "#/runs", "#/runs?from=2020-01-01T00:00", "#/runs/show/s1", "#/runs/show/s1?step=b%20c",
    "#/runs/show/s1?view=gantt", "#/runs?q=show",
    "#/runs/show/s1?tab=outputs", "#/runs/show/s1?tab=events", "#/runs/show/s1?tab=spec", "#/queues", "#/system",
    "#/calendar", "#/calendar?outcome=missed", "#/calendar?month=2026-07",
    "#/compare/show/s1", "#/compare/show/s1/show/s1?all=1",
    "#/search?q=echo", "#/secrets", "#/audit", "#/audit?target=show&outcome=done",
    "#/settings", "#/settings?all=no", "#/settings?of=workers", "#/workspaces", "#/dead-letters",
)  # fmt: skip
SPEC = f"""\
description: 'Shows "{EVIL}" & everything {"x" * 400}'
tags: ['{EVIL}', a-very-long-tag-that-does-not-fit-on-a-small-screen-at-all-but-must]
schedule: '0 5 * * *'
params: [{{P: '{EVIL}'}}]
steps:
  - {{name: a, command: 'echo "$P"; echo "$P" >&2', output: OUT, description: '{EVIL}'}}
  - {{name: b c, command: 'echo {"x" * 3000}', depends: [a]}}
  - {{name: '{EVIL}', command: 'echo failing; exit 3', depends: [a]}}
  - {{name: d, command: echo d, depends: [b c, '{EVIL}']}}
  - {{name: {"y" * 40}, command: echo y, depends: [a]}}
"""

NO_DATE = """const get = Headers.prototype.get;
Headers.prototype.get = function (name) { return name === "Date" ? null : get.call(this, name); };"""
NAMELESS = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, [role=log]")]
  .filter((each) => each.checkVisibility() && !(each.getAttribute("aria-label") || each.textContent.trim()
  || each.labels?.length || each.querySelector("[aria-label]"))).map((each) => each.outerHTML.slice(0, 120))"""


@pytest.fixture
def shown(system: Deployment) -> Deployment:
    """The system with one DAG that uses unusual values everywhere, was edited once and has one run."""
    if system.client.ask("GET", "/dag-runs/show/s1").status == 200:
        return system
    system.client.create("show", "steps: [echo before]\n")
    assert system.client.ask("PUT", "/dags/show/spec", {"spec": SPEC}).json == {"errors": []}
    system.client.start("show", "s1")
    system.client.until("failed", "show", "s1")
    # In the audit log, the name of what it is about may be shorter than the word for its kind.
    assert system.client.ask("POST", "/workers/w/drain", {}).status == 404
    # No test can wait for these: the widest rows that a table of scheduled times has.
    facts = {"file_name": "show", "kind": "start", "expression": "0 5 * * *", "dag_name": "show", "until_at": None}
    fired = {"slot_at": NOON, "outcome": "fired", "reason": "", "dag_run_id": "sched-20260701T120000Z-387b24a1"}
    missed = {
        "slot_at": NOON - timedelta(days=1),
        "outcome": "missed",
        "reason": "no scheduler " * 9,
        "dag_run_id": None,
    }
    # The longest name that a user may have, at an address of IPv6.
    audited = {field: "" for field in FIELDS if field != "at"} | {
        "id": new_run_id(),
        "at": datetime.now(UTC),
        "occurrences": 1,
        "before": {},
        "after": {},
        "outcome": "refused",
        "actor_name": "w" * 64,
        "actor_role": "developer",
        "address": "2001:db8:1111:2222:3333:4444:5555:6666",
        "operation": "dag_runs.start",
        "target_kind": "dag_run",
        "target_name": "x" * 40,
        "code": "too_many_requests",
    }
    engine = open_engine(system.store_url)
    with transaction(engine) as connection:
        connection.execute(insert(t.audit), audited)
        # Decided now, because schedulers delete what was decided long ago.
        rows = [{**facts, "decided_at": datetime.now(UTC), **each} for each in (fired, missed)]
        connection.execute(insert(t.cron_slots), rows)
    engine.dispose()
    return system


@pytest.mark.parametrize(
    ("system", "dark", "places"),
    [
        # In halves: on a very busy machine one test of all pages would reach the time limit of a test.
        *(("embedded", dark, PAGES[half::2]) for dark in (False, True) for half in (0, 1)),
        ("distributed", False, PAGES),
    ],
    indirect=["system"],
    ids=["light", "light, other half", "dark", "dark, other half", "distributed"],
)
def test_no_errors_and_no_sideways_scrolling(
    look: Look, shown: Deployment, dark: bool, places: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    # Four fifths of the time is axe's. The elements of a page are the same whichever system answers its requests.
    look_for_barriers = "distributed" not in request.node.callspec.id
    size = PHONE if dark else (1280, 900)
    asked: list[str] = []
    with look(size=size, dark=dark) as page:
        page.on("request", lambda request: asked.append(request.url))
        if dark:
            # A time of another year is the widest. Without the header the page goes by the browser's clock.
            page.add_init_script(NO_DATE)
            page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=366))
        for place in places:
            # Loaded anew: what is looked at, and counted, is this place's own.
            page.goto("about:blank")
            asked.clear()
            go_to(page, f"{origin(shown)}/{place}")
            expect(page.locator("main h1")).not_to_have_text("Not found")
            # What is still being loaded has no width and no names yet.
            expect(page.locator("main .loading")).to_have_count(0)
            width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert width <= room, (place, width)
            assert page.evaluate(NAMELESS) == [], place
            counted = {url for url in asked if not url.endswith(WATCHED)}  # a page that stays open asks again
            assert not look_for_barriers or barriers(page) == [], place
            if BUNDLED:
                assert len(counted) <= MOST_REQUESTS, (place, counted)


def test_times_are_in_the_zone_of_the_browser(look: Look, shown: Deployment) -> None:
    began = datetime.fromisoformat(shown.client.run("show", "s1")["startedAt"])
    with look("#/runs/show/s1", zone="Pacific/Apia") as page:
        time = page.locator(".facts div", has_text="Began").locator("time").first
        there = began.astimezone(ZoneInfo("Pacific/Apia"))
        expect(time).to_have_text(re.compile(rf"((\d{{4}} )?\w+ {there.day} )?{there:%H:%M:%S}"))
        expect(time).to_have_attribute("title", re.compile(r"^\d{4}-\d\d-\d\dT.+ \(server: .+\)$"))


def test_data_never_becomes_code(look: Look, shown: Deployment) -> None:
    with look("#/dags?name=show") as page:
        expect(page.get_by_text(f'Shows "{EVIL}" & everything')).to_be_visible()
        page.goto(f"{origin(shown)}/#/runs/show/s1?step=a")
        expect(page.get_by_role("log")).to_have_text(f"{EVIL}\n")
        expect(page.get_by_role("link", name=f"{EVIL}: failed")).to_be_visible()
        expect(page.locator("dd", has_text=f"P={EVIL}").first).to_be_visible()
        page.get_by_role("link", name="Outputs", exact=True).click()
        expect(page.get_by_role("cell", name=EVIL).first).to_be_visible()
        page.get_by_role("link", name="Events", exact=True).click()
        expect(page.get_by_role("cell", name=EVIL, exact=True).first).to_be_visible()
        assert page.locator("main img").count() == 0


def test_no_text_of_a_run_becomes_markup(look: Look, system: Deployment) -> None:
    spec = {
        "description": " ".join(INJECTIONS),
        "params": [{f"P{number}": text} for number, text in enumerate(INJECTIONS)],
        "steps": [
            {"name": "say", "command": "env | grep ^P[0-9] | cut -d= -f2- | sort", "output": "SAID"},
            *({"name": text[:40], "command": "echo x", "depends": "say"} for text in INJECTIONS[:4]),
        ],
    }
    system.client.create("injected", json.dumps(spec))
    system.client.start("injected")
    system.client.until("succeeded", "injected")
    expected = ("status of 404", "status of 400")
    with look("#/dags/injected", expected=expected) as page:
        for place, shown in (
            ("#/dags/injected", "main .lead"),
            ("#/runs/injected/r1?step=say", "[role=log]"),
            ("#/runs/injected/r1?tab=outputs", "main table"),
        ):
            page.goto(f"{origin(system)}/{place}")
            for text in INJECTIONS:
                expect(page.locator(shown).first).to_contain_text(text)
            assert page.evaluate(FOREIGN) == [], place
        for text in INJECTIONS[:4]:
            page.goto(f"{origin(system)}/#/dags/{quote(text, safe='')}?tab={quote(text, safe='')}")
            expect(page.get_by_role("alert")).to_be_visible()
            page.goto(f"{origin(system)}/#/search?q={quote(text, safe='')}")
            expect(page.get_by_role("searchbox").first).to_have_value(text)
            assert page.evaluate(FOREIGN) == [], text


def test_the_policy_forbids_what_is_inline(look: Look, system: Deployment) -> None:
    with look() as page:
        expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
        answer = page.request.get(page.url.split("#")[0])
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["style-src"] == policy["connect-src"] == "'self'"
        assert re.fullmatch(r"'self' 'sha256-[A-Za-z0-9+/]{43}='", policy["script-src"]), "but for one script"
        assert page.evaluate("getConfig().apiURL") == "/api/v2"
        assert policy["default-src"] == "'none'"
        script = page.locator("script[src]").get_attribute("src") or ""
        assert "immutable" in page.request.get(f"{origin(system)}{script}").headers["cache-control"]
        other = page.request.get(f"{origin(system)}/web/another/main.js")
        assert other.headers["cache-control"] == "no-store"
        assert page.request.get(f"{origin(system)}/web/x/..%2f..%2fui.py").status == 404


def test_a_keyboard_is_enough(look: Look, system: Deployment) -> None:
    system.client.create("by-keys", "steps: [echo x]\n")
    with look("#/dags?name=by-keys") as page:
        expect(page.get_by_role("link", name="by-keys")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.get_by_role("button", name="Start by-keys").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_role("button", name="Start by-keys")).to_be_focused()


def test_a_refresh_of_the_page_keeps_focus_and_input(look: Look, system: Deployment) -> None:
    system.client.create("steady", "steps:\n  - {name: ask, type: hitl, config: {input: [WORD]}}\n")
    system.client.start("steady")
    with look("#/runs/steady/r1") as page:
        field = page.get_by_label("WORD")
        field.fill("half a sen")
        with page.expect_response("**/dag-runs/steady/r1"):
            page.evaluate("dispatchEvent(new HashChangeEvent('hashchange'))")
        expect(field).to_have_value("half a sen")
        expect(field).to_be_focused()
    assert system.client.ask("POST", "/dag-runs/steady/r1/steps/ask/reject", {}).status == 200
    system.client.until("rejected", "steady")


def test_an_address_of_dagus_pages_opens_ours(look: Look, shown: Deployment) -> None:
    with look("dags/show.yaml/spec", expected=("404",), stored=PLAIN_EDITOR) as page:
        expect(page.get_by_label("Spec of show")).to_have_value(SPEC)
        for theirs, ours in LINKS.items():
            page.goto(f"{origin(shown)}/{theirs}")
            expect(page).to_have_url(f"{origin(shown)}/#/{ours}")
            expect(page.locator("main h1")).to_be_visible()


def test_a_dialog_closes_when_its_page_is_left(look: Look, system: Deployment) -> None:
    system.client.create("left-with-dialog", "steps: [echo x]\n")
    with look("#/runs") as page:
        expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
        page.get_by_role("link", name="DAGs", exact=True).click()
        page.get_by_label("Name", exact=True).fill("left-with-dialog")
        page.get_by_role("button", name="Start left-with-dialog").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.go_back()
        expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.get_by_role("link", name="Search", exact=True).click()
        expect(page.get_by_role("heading", name="Search", exact=True)).to_be_visible()
    assert system.client.ask("GET", "/dag-runs?name=left-with-dialog").json["dagRuns"] == []


def test_keys_lead_everywhere(look: Look, shown: Deployment) -> None:
    with look("#/runs/show/s1?step=a") as page:
        expect(page.get_by_role("region", name="Step a")).to_be_visible()
        page.locator("main").focus()
        page.keyboard.press("Escape")
        expect(page.get_by_role("region", name="Step a")).to_have_count(0)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text("go to the search field")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.keyboard.press("g")
        page.keyboard.press("r")
        expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
        expect(page.get_by_label("Part of a name or run id")).to_be_visible()
        page.keyboard.press("/")
        expect(page.get_by_label("Part of a name or run id")).to_be_focused()
        page.keyboard.type("g d?")
        expect(page.get_by_label("Part of a name or run id")).to_have_value("g d?")
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        page.keyboard.press("k")
        expect(page.get_by_role("heading", name="Secrets")).to_be_visible()


def test_a_wrong_clock_of_the_browser_changes_no_time(look: Look, system: Deployment) -> None:
    system.client.create("by-its-clock", "steps: [sleep 300]\n")
    system.client.start("by-its-clock")
    system.client.until("running", "by-its-clock")
    with look("#/runs/by-its-clock/r1") as page:
        facts = page.locator(".facts")
        for wrong in (timedelta(minutes=-8), timedelta(days=1)):
            page.clock.set_system_time(datetime.now(UTC) + wrong)
            page.reload()
            # After midnight, the time when it began has its date.
            began = r"Began((\d{4} )?\w+ \d+ )?[\d:]+\s+(now|\d+ s ago|[1-4] min ago)"
            expect(facts).to_contain_text(re.compile(began))
            expect(facts).to_contain_text(re.compile(r"Took([1-4] min \d\d|[1-9]\d*) s"))
    system.client.ask("POST", "/dag-runs/by-its-clock/r1/stop")


def test_a_run_can_be_copied_as_commands(look: Look, shown: Deployment) -> None:
    with look("#/runs/show/s1") as page:
        page.get_by_role("button", name="Copy as…").click()
        dialog = page.get_by_role("dialog")
        place = f"{origin(shown)}/api/v2/dag-runs/show/s1"
        body = '{"dagRunId":"s1"}'
        retry = f"curl -X POST -H 'Content-Type: application/json' -d '{body}' {place}/retry"
        expect(dialog.get_by_text(retry, exact=True)).to_be_visible()
        expect(dialog.get_by_text(f"DAGWAY_URL={origin(shown)} dagway retry --run-id=s1 show")).to_be_visible()
        expect(dialog.get_by_role("button", name="Copy: curl -X POST").first).to_be_visible()
        dialog.get_by_role("button", name="Close").click()
        expect(dialog).to_have_count(0)
