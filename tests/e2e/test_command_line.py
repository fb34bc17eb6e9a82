"""Transcripts of the commands that use a server: what they print and with which code they exit.

The commands run in this process; the server is a process of its own. What must not depend on the footing runs on both.
"""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.cli import cli
from tests.harness.client import Client
from tests.harness.cluster import Footing
from tests.harness.eventually import eventually
from tests.harness.procs import DagwayProcess

Dagway = Callable[..., Result]
EMBEDDED = pytest.mark.parametrize("footing", ["embedded"], indirect=True)

GREET = """
params:
  - NAME: world
steps:
  - name: greet
    command: echo "Hello, ${NAME}!"
  - name: warn
    command: echo careful >&2
    depends: greet
"""
FAILS = """
steps:
  - name: load
    command: |
      echo one; echo two >&2; exit 3
  - name: report
    command: echo unreached
"""
SLEEPS = "steps:\n  - name: nap\n    command: sleep 60\n"
ASKS = """
steps:
  - name: check
    executor:
      type: hitl
      config: {prompt: "How large?", input: [SIZE], required: [SIZE]}
  - name: use
    command: echo "size ${SIZE}"
"""

SECRETIVE = """
secrets: [{name: T, provider: stored, key: cli-token}]
steps:
  - command: echo "$T"; test "$T" = hunter2-and-more
"""


@pytest.fixture
def dagway(client: Client, tmp_path: Path) -> Dagway:
    """Return a function that runs a command with the URL of the footing, without any profile of the developer."""
    env = {"DAGWAY_URL": client.base, "XDG_CONFIG_HOME": str(tmp_path / "config")}

    def run(*args: str, stdin: str | None = None, **more: str) -> Result:
        return CliRunner(env=env | more).invoke(cli, args, input=stdin)

    return run


def plain(text: str) -> str:
    """Return a transcript without what differs from run to run: ids, times, durations and padding."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "RUN", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:Z|[+-]\d\d:?\d\d)", "TIME", text)
    text = re.sub(r"\b\d+(?:\.\d+)?s\b", "0s", text)
    return re.sub(r" {2,}", "  ", text)


@EMBEDDED
def test_shadow_compares_two_servers_and_moves_a_schedule(dagway: Dagway, client: Client) -> None:
    """One server is both, so the workflow ends where it was: resumed."""
    client.create("shadowed", "schedule: '0 0 1 1 *'\nsteps:\n  - name: a\n    command: echo\n  - echo b\n")

    compared = dagway("shadow", "--dagu", client.base, "shadowed", "--json")
    moved = dagway("shadow", "--dagu", client.base, "--cut-over", "shadowed")
    unknown = dagway("shadow", "--dagu", client.base, "nobody")

    assert compared.exit_code == 0, compared.output
    (found,) = json.loads(compared.stdout)["dags"]
    assert (found["name"], found["result"], found["differences"], found["suspended"]) == ("shadowed", "same", [], False)
    assert (moved.exit_code, "shadowed: runs here now" in moved.output) == (0, True), moved.output
    assert client.ask("GET", "/dags/shadowed").json["suspended"] is False
    assert (unknown.exit_code, "has no DAG nobody" in unknown.output) == (2, True)


def test_start_waits_for_the_end_and_prints_the_run(dagway: Dagway, client: Client) -> None:
    client.create("greet", GREET)

    done = dagway("start", "greet", "--run-id", "r1", "--", "NAME=Ada Lovelace")

    assert done.exit_code == 0, done.output
    assert plain(done.stdout) == (
        "greet  run r1  succeeded  began TIME  took 0s\n"
        "  params: NAME=Ada Lovelace\n"
        "  ✓ greet  succeeded  0s\n"
        "  ✓ warn  succeeded  0s\n"
    )
    assert "step greet succeeded: exit code 0" in done.stderr
    assert dagway("start", "-q", "greet.yaml").output == ""
    assert dagway("status", "greet", "r1").stdout == done.stdout
    assert dagway("logs", "greet", "--run-id", "r1").stdout == "greet | Hello, Ada Lovelace!\nwarn  | careful\n"
    assert dagway("logs", "greet", "warn", "--stdout", "--run-id", "r1").stdout == ""
    assert json.loads(dagway("logs", "greet", "warn", "--json", "--run-id=r1").stdout) == {
        "step": "warn",
        "stream": "stderr",
        "line": 1,
        "text": "careful",
    }


def test_a_failed_run_exits_with_1_and_shows_the_last_lines_of_its_step(dagway: Dagway, client: Client) -> None:
    client.create("fails", FAILS)

    done = dagway("start", "fails", "--run-id", "f1")

    assert done.exit_code == 1
    assert plain(done.stdout) == (
        "fails  run f1  failed  began TIME  took 0s\n"
        '  ✗ load  failed  0s  failed to execute step "load": exit status 3\n'
        "  ■ report  aborted  upstream failed\n"
        "--- stderr of load, its last lines ---\n"
        "two\n"
    )
    again = dagway("retry", "--run-id=f1", "fails")
    assert again.exit_code == 1
    assert "step load not_started: reset by retry" in again.stderr
    assert again.stderr.count("step load failed") == 1, "events before the retry are not printed again"
    assert (dagway("status", "fails").exit_code, dagway("status", "fails", "--exit-code").exit_code) == (0, 1)


@EMBEDDED
def test_a_file_of_this_machine_is_sent(dagway: Dagway, tmp_path: Path) -> None:
    file = tmp_path / "sent.yaml"
    file.write_text("steps:\n  - name: say\n    command: echo $1 $2\n")

    done = dagway("start", "--quiet", str(file), "--", "one", 'two "three" \\')

    assert done.exit_code == 0, done.output
    assert dagway("logs", "sent", "say").stdout == 'one two "three" \\\n'
    named = dagway("start", "-q", "-N", "renamed", "-p", "a b", str(file))
    assert (named.exit_code, dagway("logs", "renamed").stdout) == (0, "say | a b\n")


@EMBEDDED
def test_one_command_runs_as_a_dag_run(dagway: Dagway) -> None:
    done = dagway(
        "exec", "-E", "SIZE=large", "--name", "once", "--", "sh", "-c", "echo size $SIZE; echo oh >&2; exit 4"
    )

    assert done.exit_code == 1
    assert done.stdout == "size large\n"
    assert done.stderr.endswith("oh\n")


@EMBEDDED
def test_stop_restart_and_dagus_answers_when_nothing_runs(dagway: Dagway, client: Client) -> None:
    client.create("sleeps", SLEEPS)

    nothing = dagway("stop", "sleeps")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert dagway("restart", "sleeps").exit_code == 1
    assert dagway("retry", "sleeps").exit_code == 2
    assert dagway("retry", "--run-id=nobody", "sleeps").exit_code == 1
    assert dagway("status", "sleeps").stderr == "dagway: DAG 'sleeps' has no run 'latest'\n"

    first = dagway("start", "--detach", "sleeps", "-r", "s1")
    assert (first.exit_code, first.stdout) == (0, "s1\n")
    client.until("running", "sleeps", "s1")
    running = dagway("retry", "--run-id=s1", "sleeps")
    assert (running.exit_code, running.stdout) == (1, ""), "it is refused at once"
    second = dagway("restart", "sleeps", "--detach").stdout.strip()
    assert client.run("sleeps", "s1")["statusLabel"] == "aborted"
    assert dagway("stop", "sleeps").stdout == f"sleeps/{second} aborted\n"
    assert dagway("start", "sleeps", "-r", "s1").exit_code == 1, "the id is taken"


@EMBEDDED
def test_ctrl_c_stops_the_run(client: Client, tmp_path: Path) -> None:
    client.create("interrupted", SLEEPS)

    with DagwayProcess("start", "interrupted", "-r", "i1", folder=tmp_path, env={"DAGWAY_URL": client.base}) as process:
        process.wait_output("step nap running")
        process._started.send_signal(signal.SIGINT)
        assert process.wait_exit() == 130

    assert client.run("interrupted", "i1")["statusLabel"] == "aborted"


def test_a_step_is_approved_with_its_inputs_or_rejected(dagway: Dagway, client: Client) -> None:
    client.create("asks", ASKS)

    waits = dagway("start", "asks", "-r", "a1")
    assert waits.exit_code == 0, "as in Dagu"
    assert waits.stderr.endswith("dagway: to go on: dagway approve asks check --run-id a1\n")
    assert re.search(r"^asks +a1 +check", dagway("approve").stdout, re.MULTILINE)
    assert "SIZE" in dagway("approve", "asks").stderr, "an input is missing"
    assert dagway("approve", "asks", "--input", "SIZE=large").stdout == "approved\n"
    client.until("succeeded", "asks", "a1")
    assert dagway("logs", "asks", "use").stdout == "size large\n"

    dagway("start", "asks", "-r", "a2", "-q")
    assert dagway("reject", "asks", "check", "--reason", "too large").stdout == "rejected\n"
    client.until("rejected", "asks", "a2")
    assert dagway("approve", "asks").stderr == "dagway: no run of asks waits for approval\n"


@EMBEDDED
def test_queues_pauses_and_why(dagway: Dagway, client: Client) -> None:
    client.create("queued", GREET)

    assert dagway("pause", "queued", "--reason", "we move").stdout == "queued is paused\n"
    assert dagway("enqueue", "--run-id=q1", "queued").stdout == "q1\n"
    assert dagway("enqueue", "--run-id", "q2", "-q", "queued").output == ""
    assert re.search(r"dag queued +drained +0 .* we move", dagway("pause").stdout)
    assert "we move" in dagway("why", "queued", "q1").stdout
    assert json.loads(dagway("why", "queued", "q1", "--json").stdout)["waits"][0]["dagRunId"] == "q1"
    assert re.search(r"^queued +dag-based +1 +0 +2$", dagway("queues").stdout, re.MULTILINE)
    assert dagway("dequeue", "queued", "--dag-run=queued:q2").stdout == "queued/q2 removed from the queue\n"
    assert dagway("dequeue", "queued").stdout == "queued/q1 removed from the queue\n"
    assert dagway("dequeue", "queued").stderr == "dagway: the queue 'queued' is empty\n"
    assert dagway("resume", "queued").stdout == "queued is resumed\n"
    assert dagway("pause", "queued", "--all").exit_code == 2


@EMBEDDED
def test_schedules_and_lists(dagway: Dagway, client: Client) -> None:
    client.create("nightly", 'schedule: "0 2 * * *"\ntags: [night]\nsteps: ["true"]\n')

    assert dagway("suspend", "nightly").stdout == "the schedule of nightly is off\n"
    assert re.search(r"^nightly +0 2 \* \* \* \(suspended\)", dagway("ls", "--tag", "night").stdout, re.MULTILINE)
    assert dagway("resume", "nightly").exit_code == 0
    slots = dagway("slots", "nightly")
    assert (slots.stdout, slots.stderr.splitlines()[0]) == ("", "no scheduled time has passed yet")
    assert [each["fileName"] for each in json.loads(dagway("ls", "night", "--json").stdout)["dags"]] == ["nightly.yaml"]
    assert dagway("ls", "no-such").stderr == "there is no such DAG\n"
    assert "slots" in json.loads(dagway("slots", "nightly", "--json").stdout)
    assert dagway("pools").stderr == "there is no pool\n"


@EMBEDDED
def test_stored_secrets(dagway: Dagway, client: Client) -> None:
    done = dagway("secrets", "set", "cli-token", "--dag", "tells-*", stdin="hunter2-and-more\n")
    assert done.stdout == "cli-token set (version 1)\n", done.output
    client.create("tells-1", SECRETIVE)

    assert dagway("start", "-q", "tells-1", "-r", "s1").exit_code == 0
    assert dagway("logs", "tells-1").stdout == "cmd_1 | *******\n"
    listed = dagway("secrets", "list").stdout
    assert re.search(r"^cli-token +1 +own-\w+ .* tells-\*$", listed, re.MULTILINE), listed
    assert "hunter2" not in dagway("secrets", "list", "--json").stdout
    assert dagway("secrets", "rotate").stdout == "0 secrets sealed anew\n"
    assert "the value is empty" in dagway("secrets", "set", "cli-token", stdin="\n").stderr
    assert dagway("secrets", "delete", "cli-token").stdout == "cli-token deleted\n"
    assert dagway("secrets", "list").stderr == "there is no stored secret\n"


def test_history_watch_and_events_of_a_run(dagway: Dagway, client: Client) -> None:
    client.create("seen", GREET)
    dagway("start", "-q", "seen", "-r", "h1")
    dagway("start", "-q", "seen", "-r", "h2")

    lines = plain(dagway("history", "seen").stdout).splitlines()
    assert lines[0] == "DAG  RUN  STATUS  BEGAN  TOOK  PARAMS"
    assert [line.split()[1] for line in lines[1:]] == ["h2", "h1"]
    assert dagway("history", "seen", "--status", "failed").stderr == "there is no such run\n"
    assert len(json.loads(dagway("history", "seen", "--limit", "1", "--json").stdout)["dagRuns"]) == 1
    assert dagway("watch", "seen", "h1").exit_code == 0
    events = [json.loads(line) for line in dagway("events", "seen", "h1", "--json").stdout.splitlines()]
    assert [(each["stepName"], each["became"]) for each in events][-1] == (None, "succeeded")
    rest = dagway("events", "seen", "h1", "--after", events[-2]["id"]).stdout
    assert plain(rest) == "TIME seen/h1 succeeded: all steps are done (by scheduler)\n"


@EMBEDDED
def test_cleanup_deletes_the_runs_that_have_ended(dagway: Dagway, client: Client) -> None:
    client.create("cleaned", GREET)
    for run_id in ("c1", "c2"):
        client.start("cleaned", run_id)
        client.until("succeeded", "cleaned", run_id)
    dagway("pause", "cleaned")
    dagway("enqueue", "--run-id=c3", "cleaned")

    assert dagway("cleanup", "--retention-days=1", "-y", "cleaned").stdout == "0 runs of cleaned deleted\n"
    dry = "cleaned/c2\ncleaned/c1\n2 runs of cleaned would be deleted\n"
    assert dagway("cleanup", "--dry-run", "cleaned").stdout == dry
    assert dagway("cleanup", "cleaned").exit_code == 1, "nobody confirmed"
    assert dagway("cleanup", "-y", "cleaned").stdout == "2 runs of cleaned deleted\n"
    assert [run["dagRunId"] for run in json.loads(dagway("history", "cleaned", "--json").stdout)["dagRuns"]] == ["c3"]


def test_doctor_and_workers(dagway: Dagway, footing: Footing) -> None:
    def healthy() -> Result:
        said = dagway("doctor")
        assert said.exit_code == 0, said.output
        return said

    # On a busy machine a worker's lease may end before its next heartbeat is heard.
    assert {line.split()[0] for line in eventually(healthy, timeout_s=60).stdout.splitlines()} == {"ok"}
    worker = "local" if footing.name == "embedded" else "w1"
    assert re.search(rf"^{worker} +live +\d+/", dagway("workers").stdout, re.MULTILINE)


def test_a_drained_worker_takes_no_new_runs_until_it_is_resumed(
    dagway: Dagway, client: Client, footing: Footing
) -> None:
    worker = "local" if footing.name == "embedded" else "w1"
    client.create("kept-back", "steps: [echo hi]\n")

    def drain_of() -> dict[str, Any]:
        [found] = [each for each in json.loads(dagway("workers", "--json").stdout)["workers"] if each["id"] == worker]
        return dict(found.get("drain", {}))

    said = dagway("workers", "drain", worker, "--reason", "new disk")
    try:
        assert (said.exit_code, said.stdout) == (0, f"worker {worker} takes no new runs\n"), said.output
        eventually(lambda: drain_of().get("heard"), timeout_s=60)
        assert re.search(rf"^{worker} +draining .* anonymous \S+.*: new disk$", dagway("workers").stdout, re.MULTILINE)
        client.start("kept-back")
        wanted = f"a worker that takes new runs: {worker} is draining"
        eventually(lambda: wanted in dagway("why", "kept-back", "r1").stdout, timeout_s=60)
    finally:
        resumed = dagway("workers", "resume", worker)
    assert (resumed.exit_code, resumed.stdout) == (0, f"worker {worker} takes new runs\n"), resumed.output
    client.until("succeeded", "kept-back")
    assert drain_of() == {}
    assert dagway("workers", "resume", worker).exit_code == 1
    assert dagway("workers", "drain", "nobody").exit_code == 1
    assert dagway("workers", "--json", "drain", worker).exit_code == 2


@EMBEDDED
def test_a_gateway_that_is_away_is_said_with_what_to_do(dagway: Dagway) -> None:
    away = dagway("ls", "--url", "127.0.0.1:1")

    assert away.exit_code == 3
    assert away.stderr == (
        "dagway: the gateway at http://127.0.0.1:1 (from --url) cannot be reached: Connection refused; "
        "start one with `dagway up`, or give another by --url or DAGWAY_URL\n"
    )


@EMBEDDED
def test_logs_are_followed_over_an_interruption(client: Client, footing: Footing, tmp_path: Path) -> None:
    """The gateway is killed and comes back while ``logs -f`` runs: each line comes once."""
    go = tmp_path / "go"
    client.create(
        "talks",
        f"steps:\n  - name: talk\n    command: |\n      echo one; while [ ! -e {go} ]; do sleep 0.1; done; echo two\n",
    )
    client.start("talks", "t1")

    args = ("logs", "talks", "--run-id", "t1", "-f")
    with DagwayProcess(*args, folder=tmp_path, env={"DAGWAY_URL": client.base}) as following:
        following.wait_output("talk | one")
        footing.gateways[0].freeze()
        footing.gateways[0].thaw()
        go.touch()
        assert following.wait_exit() == 0
        assert following.output() == "talk | one\ntalk | two\n"
    eventually(lambda: client.run("talks", "t1")["statusLabel"] == "succeeded")
