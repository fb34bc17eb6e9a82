"""In a real browser, a page of another site can neither start runs nor read anything of its user's ``dagway up``."""

import functools
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser

from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually
from tests.harness.loopback import QuietHandler, serving
from tests.harness.procs import DagwayProcess
from tests.ui.conftest import REBOUND, log_in, origin, send

ATTACK = """async (api) => {
  const read = [];
  // Where the page's own policy forbids an attempt, no event tells its end.
  const within = (work) => Promise.race([work, new Promise((done) => { setTimeout(done, 2000); })]);
  const attempt = async (path, options) => {
    try {
      const answer = await fetch(`${api}${path}`, options);
      if (answer.type !== "opaque" && answer.ok) read.push(path);
    } catch { /* the browser or the server refused it */ }
  };
  const body = '{"dagRunId": "drive-by"}';
  await attempt("/dags/target/start", {method: "POST", mode: "no-cors", body, headers: {"Content-Type": "text/plain"}});
  await attempt("/dags/target/start", {method: "POST", mode: "no-cors", body: new URLSearchParams({"{}": ""})});
  await attempt("/dags/target/start", {method: "POST", mode: "no-cors"});
  await attempt("/dags/target/start", {method: "POST", body, headers: {"Content-Type": "application/json"}});
  await attempt("/dags/target/start", {method: "POST", body,
    headers: {"Content-Type": "application/json", "Authorization": "Bearer junk"}});
  await attempt("/dags", {});
  await attempt("/dags", {credentials: "include"});
  await attempt("/dags", {headers: {"Authorization": "Bearer junk"}});
  await attempt("/dag-runs", {});
  const form = document.body.appendChild(document.createElement("form"));
  Object.assign(form, {method: "POST", action: `${api}/dags/target/start`, enctype: "text/plain", target: "sink"});
  const field = form.appendChild(document.createElement("input"));
  Object.assign(field, {name: '{"dagRunId": "by-form", "x": "', value: '"}'});
  const sink = document.body.appendChild(document.createElement("iframe"));
  sink.name = "sink";
  await within(new Promise((done) => { sink.onload = done; form.submit(); }));
  await within(new Promise((done) => {
    const image = new Image();
    image.onload = image.onerror = done;
    image.src = `${api}/dag-runs/target/waiting/dequeue`;
  }));
  return read;
}"""


class Quiet(QuietHandler, SimpleHTTPRequestHandler):
    """Serves files."""


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of another site, with one empty page."""
    folder = tmp_path_factory.mktemp("evil")
    (folder / "index.html").write_text("<!doctype html><title>evil</title><body></body>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    with serving(server):
        yield server.server_port


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """``dagway up`` as it comes, with a DAG whose queue is full."""
    with Embedded(tmp_path_factory.mktemp("victim"), env={"DAGWAY_QUEUES": "closed=1"}) as system:
        system.client.create("blocker", "queue: closed\nsteps: [sleep 600]\n")
        system.client.create("target", "queue: closed\nsteps: [echo x]\n")
        system.client.start("blocker", "b")
        system.client.until("running", "blocker", "b")
        yield system


def runs_of(system: Embedded) -> dict[str, str]:
    found = system.client.ask("GET", "/dag-runs?name=target").json["dagRuns"]
    return {run["dagRunId"]: run["statusLabel"] for run in found}


def with_a_queued_run(system: Embedded) -> dict[str, str]:
    """Queue the run that the attack tries to dequeue, unless it is there; return all runs of the DAG."""
    if "waiting" not in runs_of(system):
        assert system.client.ask("POST", "/dags/target/enqueue", {"dagRunId": "waiting"}).status == 200
    found = runs_of(system)
    assert found["waiting"] == "queued"
    return found


def attack(started: Browser, page_url: str, api: str) -> list[str]:
    context = started.new_context()
    try:
        page = context.new_page()
        page.goto(page_url, wait_until="commit")
        read: list[str] = page.evaluate(ATTACK, api)
        return read
    finally:
        context.close()


def test_a_page_of_another_site_starts_and_reads_nothing(chromium: Browser, evil: int, victim: Embedded) -> None:
    before = with_a_queued_run(victim)

    for host in ("localhost", "127.0.0.1"):
        assert attack(chromium, f"http://{host}:{evil}/", f"{origin(victim)}/api/v2") == []

    assert runs_of(victim) == before


def test_a_rebound_name_starts_and_reads_nothing(chromium: Browser, victim: Embedded) -> None:
    url, before = origin(victim).replace("127.0.0.1", REBOUND), with_a_queued_run(victim)

    assert attack(chromium, f"{url}/", f"{url}/api/v2") == []

    assert runs_of(victim) == before


def test_a_page_on_another_port_cannot_use_the_session_of_this_host(
    chromium: Browser, evil: int, guarded: DagwayProcess
) -> None:
    """Ports do not matter to cookies, so the browser sends ours with these requests, in spite of SameSite."""
    api, context = f"{origin(guarded)}/flows/api/v2", chromium.new_context()
    try:
        page = context.new_page()
        page.goto(f"{origin(guarded)}/flows/")
        log_in(page, "admin", "correct horse")
        page.get_by_role("heading", name="Home", exact=True).wait_for()
        send(page, guarded, "dags", {"name": "attacked", "spec": "steps: [echo x]\n"})
        script = ATTACK.replace("/target/", "/attacked/")

        def runs() -> list[str]:
            found = page.request.get(f"{api}/dag-runs?name=attacked").json()["dagRuns"]
            return [run["dagRunId"] for run in found]

        other = context.new_page()
        for host in ("127.0.0.1", "localhost"):
            other.goto(f"http://{host}:{evil}/", wait_until="commit")
            assert other.evaluate(script, api) == []
        assert runs() == []
        # The same script on our own page has the session.
        assert {"/dags", "/dag-runs", "/dags/attacked/start"} <= set(page.evaluate(script, api))
        eventually(lambda: "drive-by" in runs())
    finally:
        context.close()


def test_our_own_page_is_served(chromium: Browser, victim: Embedded) -> None:
    """The same script on the gateway's own page reads and starts: the attacks above are real ones."""
    read = attack(chromium, f"{origin(victim)}/", f"{origin(victim)}/api/v2")

    assert {"/dags", "/dag-runs", "/dags/target/start"} <= set(read)
    eventually(lambda: "drive-by" in runs_of(victim))
    # They start beside the full queue. Else one would end while another test of this file compares what there is.
    eventually(lambda: set(runs_of(victim).values()) <= {"succeeded", "queued"})
