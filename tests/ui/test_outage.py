"""What a page does while the gateway does not answer, or says that something behind it is away."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.harness.cluster import Cluster, Deployment
from tests.harness.eventually import eventually
from tests.ui.conftest import PLAIN_EDITOR, Look, running_cluster, worker_row

API = "**/api/v2/**"
HEALTH = "**/api/v2/health"
PATIENT = "AbortSignal.timeout = () => new AbortController().signal"
"""Makes a page wait for answers without end."""


def held(page: Page, url: str) -> list[Route]:
    """Keep the page's requests for a URL under way; the list gets them."""
    found: list[Route] = []

    def keep(route: Route) -> None:
        found.append(route)

    page.route(url, keep)
    return found


def test_an_outage_is_told_and_ends_without_a_reload(look: Look, system: Deployment) -> None:
    system.client.create("lasting-one", "steps: [echo x]\n")
    with look("#/dags?name=lasting", expected=("ERR_FAILED", "status of 503")) as page:
        page.evaluate("window.loaded = 'once'")
        link = page.get_by_role("link", name="lasting-one", exact=True)
        expect(link).to_be_visible()
        banner = page.locator(".banner")
        expect(banner).to_be_hidden()

        page.route(API, lambda route: route.abort())
        expect(banner).to_have_text("The gateway does not answer. Trying again by itself.")
        expect(link).to_be_visible()
        page.get_by_role("button", name="Start lasting-one").click()
        expect(page.locator(".toast.is-error")).to_contain_text("The gateway does not answer")
        expect(page.get_by_role("dialog")).to_have_count(0)

        system.client.create("lasting-two", "steps: [echo x]\n")
        page.unroute(API)
        expect(banner).to_be_hidden()
        expect(page.get_by_role("link", name="lasting-two", exact=True)).to_be_visible()

        away = {"code": "unavailable", "message": "the broker is away"}
        page.route(HEALTH, lambda route: route.fulfill(status=503, json=away))
        expect(banner).to_have_text("Not everything works: the broker is away. Trying again by itself.")
        page.unroute(HEALTH)
        expect(banner).to_be_hidden()
        assert page.evaluate("window.loaded") == "once"


@pytest.mark.parametrize("system", ["distributed"], indirect=True)
def test_a_gateway_that_is_killed_is_told_until_it_is_back(look: Look, system: Cluster) -> None:
    gateway = system.gateways[0]
    system.client.create("killed", "steps: [{name: ask, type: hitl}]\n")
    system.client.start("killed")
    system.client.until("waiting", "killed")
    # What a request meets depends on the moment: before, while or after the process is killed, or before it is ready.
    expected = ("ERR_CONNECTION_", "ERR_SOCKET_", "ERR_EMPTY", "ERR_INCOMPLETE", "ERR_CONTENT_LENGTH", "status of 503")
    with look("#/runs/killed/r1", expected=expected) as page:
        approve = page.get_by_role("button", name="Approve")
        expect(approve).to_be_visible()
        gateway.kill9()
        expect(page.locator(".banner")).to_have_text("The gateway does not answer. Trying again by itself.")
        expect(approve).to_be_visible()
        system.start(gateway)
        expect(page.locator(".banner")).to_be_hidden()
        approve.click()
        expect(page.locator(".heading .badge").first).to_have_text("✓succeeded")


@pytest.mark.parametrize("system", ["distributed"], indirect=True)
def test_the_system_is_shown_and_a_dialog_kept_while_the_broker_is_away(look: Look, system: Cluster) -> None:
    system.client.create("broker-away", "steps: [echo x]\n")
    try:
        system.rabbit.stop()
        eventually(lambda: system.client.ask("GET", "/health").status == 503)
        with look("#/system", expected=("status of 503",)) as page:
            main, banner, dialog = page.locator("main"), page.locator(".banner"), page.get_by_role("dialog")
            why = main.get_by_text("The gateway is not healthy: the message broker cannot be reached")
            expect(why).to_be_visible()
            expect(main.locator(".facts")).to_contain_text("unhealthy")
            expect(worker_row(page, "w1")).to_be_visible()
            expect(page.get_by_role("columnheader", name="Scheduler")).to_be_visible()

            page.evaluate("location.hash = '#/dags/broker-away'")
            page.get_by_role("button", name="Pause").click()
            dialog.get_by_label("Reason").fill("new disk")
            dialog.get_by_role("button", name="Pause").click()
            expect(dialog.get_by_role("alert")).to_contain_text("nothing was changed")
            expect(banner).to_contain_text("Not everything works: the message broker cannot be reached")
            system.rabbit.start()
            expect(banner).to_be_hidden()
            expect(dialog.get_by_label("Reason")).to_have_value("new disk")
            dialog.get_by_role("button", name="Pause").click()
            expect(main.get_by_text("new disk")).to_be_visible()

            page.evaluate("location.hash = '#/system'")
            expect(worker_row(page, "w1")).to_be_visible()
            expect(why).to_have_count(0)
    finally:
        if not system.rabbit.running:
            system.rabbit.start()
        for process in system.processes:
            system.ready(process)


def test_changes_that_cannot_be_read_are_not_said_to_be_none(look: Look, system: Deployment) -> None:
    system.client.create("unread-changes", "steps: [echo x]\n")
    system.client.start("unread-changes")
    system.client.until("succeeded", "unread-changes")
    with look(expected=("status of 503",)) as page:
        full = {"code": "unavailable", "message": "This gateway has no room for another stream"}
        page.route("**/events", lambda route: route.fulfill(status=503, json=full))
        page.goto(f"{page.url.split('#')[0]}#/runs/unread-changes/r1?tab=events")
        expect(page.get_by_text("cannot be read now: This gateway has no room for another stream.")).to_be_visible()
        page.unroute("**/events")
        expect(page.get_by_role("cell", name="begins")).to_be_visible()


def test_a_spec_that_could_not_be_read_at_first_is_not_replaced_by_nothing(look: Look, system: Deployment) -> None:
    system.client.create("unread-spec", "steps: [echo x]\n")
    with look(expected=("status of 503",), stored=PLAIN_EDITOR) as page:
        away = {"code": "unavailable", "message": "the database is away"}
        page.route("**/dags/unread-spec/spec", lambda route: route.fulfill(status=503, json=away))
        page.evaluate("location.hash = '#/dags/unread-spec?tab=spec'")
        expect(page.get_by_text("The spec cannot be read now: the database is away")).to_be_visible()
        expect(page.get_by_label("Spec of unread-spec")).to_be_hidden()
        page.unroute("**/dags/unread-spec/spec")
        expect(page.get_by_label("Spec of unread-spec")).to_have_value("steps: [echo x]\n")
        expect(page.get_by_text("cannot be read now")).to_have_count(0)


def test_what_no_scheduler_has_recorded_yet_is_not_said_to_be_done(look: Look, system: Deployment) -> None:
    system.client.create("unrecorded-stop", "steps: [sleep 300]\n")
    system.client.start("unrecorded-stop")
    system.client.until("running", "unrecorded-stop")
    with look("#/runs/unrecorded-stop/r1") as page:
        # As a gateway answers while there is no scheduler.
        page.route("**/stop", lambda route: route.fulfill(status=202, json={"commandId": "c1", "status": "pending"}))
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Stop it").click()
        expect(page.locator(".toast")).to_contain_text("Accepted, but not recorded yet")
        expect(page.get_by_role("dialog")).to_have_count(0)
    assert system.client.ask("POST", "/dag-runs/unrecorded-stop/r1/stop").status == 200


def test_runs_whose_change_is_not_recorded_yet_are_not_counted_as_done(look: Look, system: Deployment) -> None:
    system.client.create("unrecorded-bulk", "steps: [{name: s, command: exit 3}]\n")
    system.client.start("unrecorded-bulk")
    system.client.until("failed", "unrecorded-bulk")
    with look("#/runs?name=unrecorded-bulk") as page:
        page.evaluate("""() => { window.said = [];
          const tell = ({ addedNodes }) => window.said.push(...[...addedNodes].map((each) => each.textContent));
          const watch = new MutationObserver((changes) => changes.forEach(tell));
          watch.observe(document.querySelector(".toasts"), { childList: true }); }""")
        result = {"name": "unrecorded-bulk", "dagRunId": "r1", "outcome": "accepted"}
        page.route("**/bulk/retry", lambda route: route.fulfill(json={"results": [result]}))
        page.get_by_label("Select unrecorded-bulk r1").check()
        page.get_by_role("button", name="Retry 1").click()
        page.get_by_role("dialog").get_by_role("button", name="Retry 1 run").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        [said] = page.evaluate("window.said")
        assert said.startswith("Accepted, but not recorded yet")


@pytest.mark.parametrize("leave", ["Cancel", "Home"])
def test_an_action_that_fails_after_its_dialog_was_closed_is_told(look: Look, system: Deployment, leave: str) -> None:
    system.client.create(name := f"fails-after-{leave.lower()}", "steps: [echo x]\n")
    with look(f"#/dags/{name}", expected=("status of 404",)) as page:
        slow = held(page, "**/rename")
        page.get_by_role("button", name="Rename", exact=True).click()
        page.get_by_label("New name").fill("renamed-after-all")
        with page.expect_request("**/rename"):
            page.get_by_role("dialog").get_by_role("button", name="Rename").click()
        if leave == "Cancel":
            page.get_by_role("button", name="Cancel").click()
        else:
            page.evaluate("location.hash = '#/'")
        expect(page.get_by_role("dialog")).to_have_count(0)
        system.client.ask("DELETE", f"/dags/{name}")
        slow[0].continue_()
        expect(page.locator(".toast.is-error")).to_contain_text(f"“Rename {name}” failed: ")


def test_a_button_cannot_be_pressed_again_while_its_request_is_under_way(
    look: Look, system: Deployment, tmp_path: Path
) -> None:
    hold = f"until test -e {tmp_path / 'open'}; do sleep 0.05; done"
    system.client.create("rerun-held", f"steps: [{{name: s, command: '{hold}'}}]\n")
    system.client.start("rerun-held")
    with look("#/runs/rerun-held/r1") as page:
        slow = held(page, "**/reschedule")
        again = page.get_by_role("button", name="Run again")
        with page.expect_request("**/reschedule"):
            again.click()
        (tmp_path / "open").touch()
        expect(page.locator(".heading .badge").first).to_have_text("✓succeeded")
        expect(again).to_be_disabled()
        slow[0].continue_()
        expect(page.locator(".toast")).to_contain_text("Started again")
        expect(page).not_to_have_url(re.compile("r1$"))
        expect(again).to_be_enabled()


def test_an_outage_is_told_once_to_who_types_and_the_text_is_checked_after_it(look: Look, system: Deployment) -> None:
    system.client.create("typed-on", "steps: [echo x]\n")
    with look("#/dags/typed-on?tab=spec", expected=("ERR_FAILED",), stored=PLAIN_EDITOR) as page:
        editor = page.get_by_label("Spec of typed-on")
        expect(editor).to_have_value("steps: [echo x]\n")
        page.route(API, lambda route: route.abort())
        for text in ("steps: [{comand: x}]\n", "steps: [{comand: xy}]\n"):
            with page.expect_event("requestfailed", lambda request: request.url.endswith("/validate")):
                editor.fill(text)
        expect(page.locator(".banner")).to_have_text("The gateway does not answer. Trying again by itself.")
        page.unroute(API)
        expect(page.locator(".problems")).to_contain_text("comand")
        expect(page.locator(".toast")).to_have_count(0)


def test_an_error_of_the_server_takes_nothing_that_is_typed_for_a_step(look: Look, system: Deployment) -> None:
    spec = "steps: [{name: ask, type: hitl, config: {prompt: Really, input: [WHY]}}]\n"
    system.client.create("half-typed", spec)
    system.client.start("half-typed")
    system.client.until("waiting", "half-typed")
    run, refresh = "**/dag-runs/half-typed/r1", "document.dispatchEvent(new Event('visibilitychange'))"
    with look("#/runs/half-typed/r1", expected=("ERR_FAILED", "status of 500")) as page:
        why = page.get_by_label("WHY", exact=True)
        why.fill("Ann has")
        page.route(run, lambda route: route.abort())
        with page.expect_event("requestfailed"):
            page.evaluate(refresh)
        broken = {"code": "internal_error", "message": "oops"}
        page.route(run, lambda route: route.fulfill(status=500, json=broken))
        page.evaluate(refresh)
        stale = page.locator(".toast.is-error")
        expect(stale).to_contain_text("This page is not up to date: oops")
        expect(why).to_have_value("Ann has")
        page.unroute(run)
        page.evaluate(refresh)
        expect(stale).to_have_count(0)
        # Somebody may look at another page before the decision.
        page.evaluate("location.hash = '#/queues'")
        expect(page.get_by_role("heading", name="Queues", exact=True)).to_be_visible()
        page.go_back()
        expect(why).to_have_value("Ann has")
        page.get_by_role("button", name="Approve", exact=True).click()
        expect(page.locator(".heading .badge").first).to_have_text("✓succeeded")


def test_a_second_click_on_a_slow_start_opens_no_second_dialog(look: Look, system: Deployment) -> None:
    system.client.create("slow-start", "steps: [echo x]\n")
    with look("#/dags?name=slow-start") as page:
        start = page.get_by_role("button", name="Start slow-start")
        slow = held(page, "**/dags/slow-start")
        with page.expect_request("**/dags/slow-start"):
            start.click()
        expect(start).to_be_disabled()
        slow[0].continue_()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(start).to_be_focused()


def test_a_slow_answer_is_announced_and_a_dialog_waits_for_what_it_changed(look: Look, system: Deployment) -> None:
    system.client.create("slow-poll", "steps: [echo x]\n")
    with look("#/dags/slow-poll") as page:
        main, pause = page.locator("main"), page.get_by_role("dialog").get_by_role("button", name="Pause")
        page.get_by_role("button", name="Pause").click()
        page.evaluate("""() => document.querySelector("dialog").addEventListener("close", () => {
          window.seen = document.querySelector("main").textContent.includes("Paused by"); })""")
        held(page, "**/dags/slow-poll")
        with page.expect_request("**/dags/slow-poll"):
            page.evaluate("dispatchEvent(new HashChangeEvent('hashchange'))")  # as a filter does
        with page.expect_response("**/slow-poll/pause"):
            pause.click()
        page.unroute("**/dags/slow-poll")  # it lets through what was held
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.wait_for_function("window.seen !== undefined")  # the browser tells of the end a moment later
        assert page.evaluate("window.seen")

        held(page, "**/dags/slow-poll")
        page.get_by_role("link", name="Versions", exact=True).click()
        expect(main).to_have_attribute("aria-busy", "true")
        page.unroute("**/dags/slow-poll")
        expect(main).not_to_have_attribute("aria-busy", "true")
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_text("Paused by")).to_have_count(0)


def test_a_filter_does_not_wait_for_a_request_that_is_never_answered(look: Look, system: Deployment) -> None:
    system.client.create("never-1", "steps: [echo x]\n")
    system.client.create("never-2", "steps: [echo x]\n")
    for name in ("never-1", "never-2"):
        system.client.start(name)
    with look("#/runs?q=never-1") as page:
        page.evaluate(PATIENT)
        rows = page.locator("main tbody tr")
        expect(rows).to_have_count(1)
        held(page, "**/dag-runs?*search=never-1*")
        with page.expect_request("**/dag-runs?*search=never-1*"):
            page.evaluate("dispatchEvent(new HashChangeEvent('hashchange'))")
        page.get_by_label("Part of a name or run id").fill("never-2")
        expect(rows).to_contain_text("never-2")
        expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")


def test_what_was_asked_before_an_outage_holds_up_nothing_after_it(look: Look, system: Deployment) -> None:
    system.client.create("before-outage", "steps: [echo x]\n")
    system.client.start("before-outage")
    with look("#/runs?q=before-outage", expected=("ERR_FAILED",)) as page:
        page.evaluate(PATIENT)
        rows = page.locator("main tbody tr")
        expect(rows).to_have_count(1)
        dead: list[Route] = []
        page.route("**/dag-runs?*", lambda route: route.fallback() if dead else dead.append(route))
        with page.expect_request("**/dag-runs?*"):
            page.evaluate("dispatchEvent(new HashChangeEvent('hashchange'))")
        page.route(HEALTH, lambda route: route.abort())
        expect(page.locator(".banner")).to_be_visible()
        system.client.start("before-outage", "r2")
        page.unroute(HEALTH)
        expect(page.locator(".banner")).to_be_hidden()
        expect(rows).to_have_count(2)


def test_a_log_goes_on_after_an_outage_in_which_its_request_was_lost(
    look: Look, system: Deployment, tmp_path: Path
) -> None:
    hold = f"until test -e {tmp_path / 'open'}; do sleep 0.05; done"
    system.client.create("lost-log", f"steps: [{{name: s, command: 'echo before; {hold}; echo after'}}]\n")
    system.client.start("lost-log")
    with look("#/runs/lost-log/r1?step=s", expected=("ERR_FAILED",)) as page:
        page.evaluate(PATIENT)
        log = page.get_by_role("log")
        expect(log).to_contain_text("before")
        dead: list[Route] = []
        page.route("**/steps/s/log?*", lambda route: route.fallback() if dead else dead.append(route))
        page.wait_for_event("request", lambda request: "/steps/s/log?" in request.url)
        page.route(HEALTH, lambda route: route.abort())
        expect(page.locator(".banner")).to_be_visible()
        (tmp_path / "open").touch()
        system.client.until("succeeded", "lost-log")
        page.unroute(HEALTH)
        expect(page.locator(".banner")).to_be_hidden()
        expect(log).to_have_text("before\nafter\n")


def test_a_page_that_is_older_than_its_gateway_offers_to_load_it_again(look: Look) -> None:
    with look("#/dags") as page:
        banner = page.locator(".banner")
        page.route(HEALTH, lambda route: route.fulfill(json={"status": "healthy", "version": "77.0"}))
        expect(banner).to_contain_text("The server has version 77.0 now")
        page.unroute(HEALTH)
        page.evaluate("window.loaded = 'once'")
        banner.get_by_role("button", name="Reload").click()
        page.wait_for_function("!window.loaded")
        expect(banner).to_be_hidden()


def test_a_reload_asks_if_a_dialog_has_what_somebody_typed(look: Look, system: Deployment) -> None:
    system.client.create("kept-in-dialog", "steps: [echo x]\n")
    asks = """() => { const leaving = new Event("beforeunload", { cancelable: true });
      dispatchEvent(leaving); return leaving.defaultPrevented; }"""
    with look("#/dags/kept-in-dialog") as page:
        page.get_by_role("button", name="Pause").click()
        assert not page.evaluate(asks)
        page.get_by_label("Reason").fill("because")
        assert page.evaluate(asks)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert not page.evaluate(asks)


def test_a_test_does_not_notice_that_one_before_it_restarted_the_servers(request: pytest.FixtureRequest) -> None:
    cluster = running_cluster(request)
    assert cluster.client.ask("GET", "/dags").status == 200
    cluster.postgres.restart()
    cluster.rabbit.close_connections()

    client = running_cluster(request).client

    assert client.ask("GET", "/dags").status == 200
    assert client.ask("POST", "/dags", {"name": "undisturbed", "spec": "steps: ['true']\n"}).status == 201
