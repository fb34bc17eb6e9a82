"""The pages of runs in a real browser: start, watch, read, stop, retry, approve."""

import re
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from playwright.sync_api import Page, expect

from tests.harness.accessibility import barriers
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually
from tests.ui.conftest import Look


def badge(page: Page, label: str) -> None:
    """Wait until the page shows this status of the run."""
    expect(page.locator(".heading .badge").first).to_have_text(label)


def gate(path: Path) -> str:
    """Return a command that waits for a file."""
    return f"until test -e {path}; do sleep 0.05; done"


def test_start_with_parameters_watch_live_and_read_the_log(look: Look, system: Embedded, tmp_path: Path) -> None:
    system.client.create(
        "greeter",
        f"params: [{{NAME: world}}]\nsteps:\n"
        f"  - {{name: greet, command: 'printenv NAME; {gate(tmp_path / 'open')}; echo bye'}}\n"
        "  - {name: after, command: echo done}\n",
    )
    with look("#/dags?name=greeter") as page:
        page.get_by_role("button", name="Start greeter").click()
        page.get_by_role("dialog").get_by_label("NAME").fill('Ada "the first" \\ $HOME')
        with page.expect_request("**/events"):
            page.get_by_role("dialog").get_by_role("button", name="Start", exact=True).click()
        badge(page, "▶running")
        page.get_by_role("link", name="greet", exact=True).click()
        log = page.get_by_role("log")
        expect(log).to_have_text('Ada "the first" \\ $HOME')
        expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()

        (tmp_path / "open").touch()

        badge(page, "✓succeeded")
        expect(log).to_contain_text("bye")
        expect(page.get_by_role("link", name="after: succeeded")).to_be_visible()
        expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
        page.get_by_role("link", name="Events", exact=True).click()
        expect(page.locator(".timeline tbody tr").first).to_contain_text("run")
        expect(page.locator(".timeline")).to_contain_text("exit code 0")


def test_a_run_whose_steps_take_long_to_stop_is_said_to_be_stopping(
    look: Look, system: Embedded, tmp_path: Path
) -> None:
    # The shell has set the trap when it writes, and a log that is shown has been written.
    hold = f"trap '' TERM; echo ready; until test -e {tmp_path / 'open'}; do sleep 0.05; done"
    system.client.create("lingers", f'maxCleanUpTimeSec: 300\nsteps: [{{name: s, command: "{hold}"}}]\n')
    system.client.start("lingers")
    with look("#/runs/lingers/r1?step=s") as page:
        expect(page.get_by_role("log")).to_have_text("ready")
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Stop it").click()
        expect(page.locator(".heading .badge").first).to_have_text("▶stopping")
        page.get_by_role("link", name="Runs", exact=True).click()
        expect(page.get_by_role("row", name="lingers")).to_contain_text("stopping")
        (tmp_path / "open").touch()
        expect(page.get_by_role("row", name="lingers")).not_to_contain_text("stopping")
    system.client.until("aborted", "lingers")


def test_a_page_that_stays_open_keeps_nothing_of_the_streams_that_ended(look: Look, system: Embedded) -> None:
    system.client.create("watched-for-hours", "steps: [sleep 600]\n")
    system.client.start("watched-for-hours")
    asked: list[str] = []
    with look("#/home") as page:
        page.evaluate("""() => {
            globalThis.added = 0;
            const add = document.addEventListener.bind(document);
            document.addEventListener = (...given) => { added += given[0] === "visibilitychange"; add(...given); };
        }""")
        ended = {"content_type": "text/event-stream", "body": ": here\n\n"}
        page.route("**/events", lambda route: route.fulfill(**ended))
        page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
        page.goto(page.url.replace("home", "runs/watched-for-hours/r1"))
        badge(page, "▶running")
        while asked.count("r1") < 4 or asked.count("events") < 2:
            page.wait_for_event("requestfinished")
        assert asked.count("events") < 10 * asked.count("r1")
        assert page.evaluate("added") == 2, "one of the page's refreshes, one of its streams"
    assert system.client.ask("POST", "/dag-runs/watched-for-hours/r1/stop").status == 200
    system.client.until("aborted", "watched-for-hours")


FALLS_SILENT = """
  const [ask, later] = [fetch, setTimeout];
  // The gateway says something every 12 s: who waits longer waits for a gateway that is gone.
  window.setTimeout = (act, ms, ...rest) => later(act, ms > 12_000 ? 200 : ms, ...rest);
  window.fetch = async (url, given) => {
    const answer = await ask(url, given);
    if (window.silent || !String(url).endsWith("/events")) return answer;
    window.silent = true;
    return new Response(new ReadableStream({ start: (body) => {
      given.signal.addEventListener("abort", () => body.error(given.signal.reason));
    } }));
  };
"""
"""Makes the first event stream of a page one whose other end is gone, without a word about it."""


def test_a_stream_that_falls_silent_is_opened_again(look: Look, system: Embedded) -> None:
    system.client.create("falls-silent", "steps: [echo x]\n")
    system.client.start("falls-silent")
    system.client.until("succeeded", "falls-silent")
    with look("#/runs?q=falls-silent") as page:
        page.evaluate(FALLS_SILENT)
        page.evaluate("location.hash = '#/runs/falls-silent/r1?tab=events'")
        expect(page.get_by_role("cell", name="begins")).to_be_visible()
        assert page.evaluate("window.silent")


def test_stop_asks_first_and_stops(look: Look, system: Embedded) -> None:
    system.client.create("endless", "steps: [sleep 600]\n")
    system.client.start("endless")
    with look("#/runs/endless/r1") as page:
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel", exact=True).click()
        badge(page, "▶running")
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("button", name="Stop it", exact=True).click()
        badge(page, "■aborted")


def test_a_second_stop_says_what_it_ends_and_ends_a_repeated_step(look: Look, system: Embedded) -> None:
    step = "{name: s, command: echo ready; sleep 600, repeatPolicy: {repeat: true, intervalSec: 1}}"
    system.client.create("circles", f"steps: [{step}]\n")
    system.client.start("circles")
    with look("#/runs/circles/r1?step=s") as page:
        expect(page.get_by_role("log")).to_have_text("ready")
        dialog = page.get_by_role("dialog")
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(dialog).to_contain_text("A repeated step may finish its execution.")
        dialog.get_by_role("button", name="Stop it").click()
        badge(page, "▶stopping")
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(dialog).to_contain_text("A repeated step that still runs is ended now.")
        dialog.get_by_role("button", name="Stop it again").click()
        badge(page, "■aborted")


def test_a_failure_is_seen_and_retried(look: Look, system: Embedded, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    system.client.create(
        "flaky",
        f"steps:\n  - {{name: first, command: echo once}}\n"
        f"  - {{name: check, command: 'echo not there >&2; test -e {mended}'}}\n"
        "  - {name: last, command: echo end}\n",
    )
    system.client.start("flaky")
    with look("#/runs/flaky/r1") as page:
        badge(page, "✕failed")
        page.get_by_role("link", name="check", exact=True).click()
        # A failed step's errors are what one wants to read first.
        expect(page.get_by_role("log")).to_contain_text("not there")
        mended.touch()
        page.get_by_role("button", name="Retry", exact=True).click()
        badge(page, "✓succeeded")
        page.get_by_role("button", name="Retry this step").click()
        expect(page.get_by_text("The step runs again.")).to_be_visible()
        badge(page, "✓succeeded")
    assert system.client.run("flaky")["nodes"][0]["doneCount"] == 1


def test_approve_with_what_is_asked_for(look: Look, system: Embedded) -> None:
    spec = (
        "steps:\n  - name: ship it\n    type: hitl\n"
        "    config: {prompt: 'Is <b>it</b> good?', input: [TICKET], required: [TICKET]}\n"
        "  - {name: go, command: echo shipped by $TICKET}\n"
    )
    system.client.create("gated", spec)
    system.client.start("gated")
    with look("#/runs/gated/r1") as page:
        # Its last step ended within a second, but who looks at it waits on.
        expect(page.locator(".facts")).to_contain_text(re.compile(r"Took(\d+ min )?\d+ s"))
        form = page.get_by_role("form", name="Approval of ship it")
        expect(form).to_contain_text("Is <b>it</b> good?")
        form.get_by_role("button", name="Approve", exact=True).click()
        badge(page, "‖waiting")
        form.get_by_label("TICKET").fill("T-1")
        form.get_by_role("button", name="Approve", exact=True).click()
        badge(page, "✓succeeded")
    assert system.client.text("gated", "r1", "go") == "shipped by T-1"


def test_who_approves_is_asked_with_the_values_in_their_places(look: Look, system: Embedded) -> None:
    spec = (
        "params: [{VERSION: 1.4.0}]\nsteps:\n  - {name: count, command: echo 12, output: ROWS}\n"
        "  - name: sign off\n    type: hitl\n"
        '    config: {prompt: "Release ${VERSION}?\\nIt has ${ROWS} <i>rows</i>.", input: [TICKET]}\n'
    )
    system.client.create("asker", spec)
    system.client.create("caller", "steps: [{name: ask, call: asker, params: VERSION=2.0}]\n")
    for name, version in (("asker", "1.4.0"), ("caller", "2.0")):
        system.client.start(name)
        system.client.until("waiting", name)
        with look(f"#/runs/{name}/r1") as page:
            if name == "caller":
                # What it called is approved there, and this step cannot be.
                told = page.locator("p", has_text="ask waits for a person to approve asker.")
                expect(page.get_by_role("button", name="Approve", exact=True)).to_have_count(0)
                told.get_by_role("link", name="asker").click()
            form = page.get_by_role("form", name="Approval of sign off")
            expect(form.locator(".question")).to_have_text(f"Release {version}?\nIt has 12 <i>rows</i>.")
            expect(form.get_by_label("TICKET")).to_be_visible()
            form.get_by_role("button", name="Approve", exact=True).click()
            badge(page, "✓succeeded")


def test_reject_with_a_reason(look: Look, system: Embedded) -> None:
    system.client.create("refused", "steps:\n  - {name: ask, type: hitl}\n  - echo never\n")
    system.client.start("refused")
    with look("#/runs/refused/r1?step=ask") as page:
        page.get_by_role("button", name="Reject", exact=True).click()
        page.get_by_role("dialog").get_by_label("Reason").fill("too early")
        page.get_by_role("dialog").get_by_role("button", name="Reject", exact=True).click()
        badge(page, "⊘rejected")
        expect(page.get_by_role("region", name="Step ask")).to_contain_text("too early")


def test_children_of_a_parallel_step_are_linked(look: Look, system: Embedded) -> None:
    system.client.create(
        "family",
        "steps:\n  - {name: fan, call: child, parallel: {items: [a, b]}, params: 'X=${ITEM}'}\n"
        "---\nname: child\nparams: [{X: ''}]\nsteps: [{name: say, command: 'echo I am $X'}]\n",
    )
    system.client.start("family")
    system.client.until("succeeded", "family")
    with look("#/runs/family/r1?step=fan") as page:
        panel = page.get_by_role("region", name="Step fan")
        expect(panel.get_by_text('X="b"', exact=True)).to_be_visible()
        panel.get_by_role("row", name='X="b"').get_by_role("link").click()
        expect(page.get_by_role("heading", name="child")).to_be_visible()
        page.get_by_role("link", name="say", exact=True).click()
        expect(page.get_by_role("log")).to_have_text("I am b\n")
        page.get_by_role("link", name="family r1").click()
        expect(page.get_by_role("heading", name="family")).to_be_visible()


def test_why_a_run_waits_is_said_everywhere(look: Look, system: Embedded) -> None:
    system.client.create("holder", "queue: narrow\nsteps: [sleep 600]\n")
    for run_id in ("h1", "h2"):
        assert system.client.ask("POST", "/dags/holder/enqueue", {"dagRunId": run_id}).status == 200
    reason = "waiting: queue narrow is full (1/1): holder/h1"
    with look("#/runs?name=holder") as page:
        expect(page.get_by_text(reason)).to_be_visible()
        page.get_by_role("link", name="Queues", exact=True).click()
        queue = page.get_by_role("region", name="Queue narrow")
        expect(queue.get_by_text(reason)).to_be_visible()

        # The limit is raised, and the run goes.
        queue.get_by_role("button", name="Change limit").click()
        page.get_by_label("Runs at once").fill("2")
        page.get_by_role("button", name="Set", exact=True).click()
        expect(queue).to_contain_text("2 of 2 running")
        for run_id in ("h1", "h2"):
            system.client.ask("POST", f"/dag-runs/holder/{run_id}/stop")
        expect(queue).to_contain_text("0 of 2 running")


def test_a_time_in_a_reason_is_in_the_zone_of_the_browser(look: Look, system: Embedded) -> None:
    system.client.create("tries-later", "steps: [{command: exit 1, retryPolicy: {limit: 1, intervalSec: 36000}}]\n")
    system.client.start("tries-later")

    def waits() -> str:
        reason: str = system.client.run("tries-later", "r1").get("waitingFor", "")
        assert "not before" in reason
        return reason

    moment = datetime.fromisoformat(eventually(waits).split("not before ")[1]).astimezone(ZoneInfo("Asia/Tokyo"))
    with look("#/runs/tries-later/r1", zone="Asia/Tokyo") as page:
        time = page.locator(".call.reason time")
        expect(time).to_have_text(re.compile(rf"(\w+ {moment.day} )?{moment:%H:%M:%S}$"))
        expect(page.locator(".call.reason")).not_to_contain_text("+00:00")
    assert system.client.ask("POST", "/dag-runs/tries-later/r1/stop").status == 200
    system.client.until("aborted", "tries-later")


def test_progress_and_remarks_are_shown_while_the_step_runs(look: Look, system: Embedded, tmp_path: Path) -> None:
    said = "echo '::progress 40/100 rows'; echo '::warning <i>three</i> rows are odd'"
    system.client.create("teller", f'steps: [{{name: load, command: "{said}; {gate(tmp_path / "open")}; exit 7"}}]\n')
    system.client.start("teller")
    with look("#/runs/teller/r1") as page:
        expect(page.get_by_role("progressbar", name="40 of 100").first).to_have_js_property("value", 40)
        page.get_by_role("link", name="load", exact=True).click()
        expect(page.get_by_role("list", name="Remarks")).to_contain_text("warning <i>three</i> rows are odd")
        (tmp_path / "open").touch()
        badge(page, "✕failed")
        expect(page.locator(".panel dl")).to_contain_text("Exit code7")
        trace = system.client.run("teller")["traceId"]
        expect(page.locator(".facts").first).to_contain_text(trace)
        assert len(trace) == 32


FIRST_SEEN = """() => new MutationObserver(() => {
  const retry = [...document.querySelectorAll("button")].find((each) => each.textContent === "Retry");
  if (retry) window.atFirst ??= retry.disabled ? "takes no click" : "takes clicks";
}).observe(document.body, { childList: true, subtree: true })"""
"""Notes whether *Retry* takes clicks in the moment in which it appears."""


def test_a_click_meant_for_stop_does_not_retry(look: Look, system: Embedded, tmp_path: Path) -> None:
    system.client.create("ends", f"steps: [{{name: s, command: '{gate(tmp_path / 'open')}; exit 3'}}]\n")
    system.client.start("ends")
    with look("#/runs/ends/r1") as page:
        expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
        page.evaluate(FIRST_SEEN)
        (tmp_path / "open").touch()
        expect(page.get_by_role("button", name="Retry", exact=True)).to_be_enabled()
        assert page.evaluate("window.atFirst") == "takes no click"
        # Who opens the page of a run that has ended need not wait.
        page.reload()
        page.evaluate(FIRST_SEEN)
        expect(page.get_by_role("button", name="Retry", exact=True)).to_be_enabled()
        assert page.evaluate("window.atFirst ?? 'takes clicks'") == "takes clicks"


def test_the_failed_steps_of_a_long_run_are_above_the_table(look: Look, system: Embedded) -> None:
    steps = "".join(f"  - {{name: s{n}, command: '{'echo no; exit 3' if n % 2 else 'true'}'}}\n" for n in range(13))
    system.client.create("many-fail", f"type: graph\nsteps:\n{steps}")
    system.client.start("many-fail")
    system.client.until("failed", "many-fail")
    with look("#/runs/many-fail/r1") as page:
        failed = page.get_by_role("region", name="Failed steps")
        expect(failed.get_by_role("link")).to_have_text(["s1", "s3", "s5", "s7", "s9"])
        expect(failed).to_contain_text("1 more failed.")
        expect(failed.get_by_role("listitem").first).to_contain_text("exit status 3")
        assert barriers(page) == []
        failed.get_by_role("link", name="s3").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("region", name="Step s3")).to_be_visible()
