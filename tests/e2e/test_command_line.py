"""Transcripts of the commands that start, follow and change runs: what they print and with which code they exit.

The commands run in this process; the server is a process of its own. Every command is given on both deployments:
``tests/unit/cli/test_transcripts.py`` fails for one that is not.
"""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.e2e.transcripts import GREET, Dagway, plain
from tests.harness.client import Client
from tests.harness.cluster import Deployment
from tests.harness.eventually import eventually
from tests.harness.procs import DagwayProcess

FAILS = """
steps:
  - name: load
    command: |
      echo one; echo two >&2; exit 3
  - name: report
    command: echo unreached
"""
SLEEPS = "steps:\n  - name: nap\n    command: sleep 600\n"
ASKS = """
steps:
  - name: check
    executor:
      type: hitl
      config: {prompt: "How large?", input: [SIZE], required: [SIZE]}
  - name: use
    command: echo "size ${SIZE}"
"""
ASKS_BELOW = """
steps:
  - name: calls
    call: below
---
name: below
steps:
  - name: look
    type: hitl
"""


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


def test_a_file_of_this_machine_is_sent(dagway: Dagway, tmp_path: Path) -> None:
    file = tmp_path / "sent.yaml"
    file.write_text("steps:\n  - name: say\n    command: echo $1 $2\n")

    done = dagway("start", "--quiet", str(file), "--", "one", 'two "three" \\')

    assert done.exit_code == 0, done.output
    assert dagway("logs", "sent", "say").stdout == 'one two "three" \\\n'
    named = dagway("start", "-q", "-N", "renamed", "-p", "a b", str(file))
    assert (named.exit_code, dagway("logs", "renamed").stdout) == (0, "say | a b\n")


@pytest.mark.parametrize("command", [("start", "--detach"), ("enqueue",)])
def test_what_follows_the_run_of_a_file_is_said_by_the_name_in_it(
    dagway: Dagway, tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text("name: within\nsteps: ['true']\n")

    said = dagway(*command, str(file)).stderr.rpartition("dagway: follow it with: dagway ")[2].split()

    assert said[:2] == ["watch", "within"]
    assert dagway(*said).exit_code == 0


def test_a_file_that_is_missing_is_said_before_the_dag_of_its_name_is_taken(dagway: Dagway, client: Client) -> None:
    client.create("kept", "steps: ['true']\n")

    for command in ("start", "enqueue"):
        done = dagway(command, "./kept.yaml")
        assert done.exit_code == 0, done.output
        assert done.stderr.startswith(
            "dagway: there is no file ./kept.yaml here: taking the DAG kept of the server\n"
        ), done.stderr
        assert "there is no file" not in dagway(command, "--quiet", "./kept.yaml").stderr
        assert "there is no file" not in dagway(command, "kept").stderr


def test_one_command_runs_as_a_dag_run(dagway: Dagway) -> None:
    done = dagway(
        "exec", "-E", "SIZE=large", "--name", "once", "--", "sh", "-c", "echo size $SIZE; echo oh >&2; exit 4"
    )

    assert done.exit_code == 1
    assert done.stdout == "size large\n"
    assert done.stderr.endswith("oh\n")
    quiet = dagway("exec", "-q", "--config", "dagu.yaml", "--", "echo", "cron would send this as a mail")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    here = dagway("exec", "--name", "place", "--", "pwd").stdout
    assert "/runs/place/" in here, "the folder of the run, not this directory"


def test_stop_restart_and_dagus_answers_when_nothing_runs(dagway: Dagway, client: Client) -> None:
    client.create("sleeps", SLEEPS)

    nothing = dagway("stop", "sleeps")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    misspelt = dagway("stop", "sleep")
    assert (misspelt.exit_code, misspelt.stderr) == (1, "dagway: there is no DAG 'sleep'\n")
    assert dagway("restart", "sleeps").exit_code == 1
    assert dagway("retry", "sleeps").exit_code == 2
    assert dagway("retry", "--run-id=nobody", "sleeps").exit_code == 1
    assert dagway("status", "sleeps").stderr == "dagway: DAG 'sleeps' has no runs, or there is no such DAG\n"

    first = dagway("start", "--detach", "sleeps", "-r", "s1")
    assert (first.exit_code, first.stdout) == (0, "s1\n")
    client.until("running", "sleeps", "s1")
    running = dagway("retry", "--run-id=s1", "sleeps")
    assert (running.exit_code, running.stdout) == (1, ""), "it is refused at once"
    second = dagway("restart", "sleeps", "--detach").stdout.strip()
    assert client.run("sleeps", "s1")["statusLabel"] == "aborted"
    assert dagway("stop", "sleeps").stdout == f"sleeps/{second} aborted\n"
    assert dagway("start", "sleeps", "-r", "s1").exit_code == 1, "the id is taken"


def test_the_handlers_init_and_wait_are_shown_with_their_output(dagway: Dagway, client: Client) -> None:
    client.create("unready", "handlerOn: {init: {command: echo no room >&2; exit 4}}\nsteps: [echo a]\n")
    client.create("tells", "handlerOn: {wait: {command: echo come}}\nsteps: [{name: ask, type: hitl}]\n")

    unready = dagway("start", "unready")
    assert re.search(r'✗ onInit +failed +\d\S+ +failed to execute step "onInit": exit status 4', unready.stdout)
    assert "--- stderr of onInit" in unready.stdout
    assert dagway("logs", "unready").stdout == "onInit | no room\n"
    tells = dagway("start", "tells")
    assert re.search(r"\? ask +waiting .*\n +✓ onWait +succeeded", tells.stdout)
    assert dagway("logs", "tells", "onWait").stdout == "come\n"


def test_stop_and_restart_say_which_runs_they_cannot_stop(dagway: Dagway, client: Client) -> None:
    client.create(
        "mixed",
        "maxActiveRuns: 3\nparams: [{DO: wait}]\nsteps:\n  - name: nap\n    command: "
        "test $DO = wait || sleep 600\n  - name: ask\n    type: hitl\n",
    )
    assert dagway("start", "mixed", "-r", "asking", "-q").exit_code == 0
    assert dagway("pause", "mixed", "-q").exit_code == 0
    assert dagway("enqueue", "mixed", "-r", "queued", "-q").exit_code == 0
    refused = "dagway: Run 'asking' waits for approval: approve or reject it\n"

    for command in ("stop", "restart"):
        waits = dagway(command, "mixed", "asking")
        assert (waits.exit_code, waits.stdout, waits.stderr) == (1, "", refused), command
    queued = dagway("stop", "mixed", "queued")
    assert (queued.exit_code, queued.stdout) == (1, "")
    assert queued.stderr.endswith(
        "is queued, not running; remove it with: dagway dequeue mixed --dag-run mixed:queued\n"
    )

    for run_id in ("one", "two"):
        assert dagway("start", "mixed", "--detach", "-r", run_id, "--", "DO=nap").exit_code == 0
        client.until("running", "mixed", run_id)
    every = dagway("stop", "mixed")
    assert (every.exit_code, set(every.stdout.splitlines())) == (0, {"mixed/one aborted", "mixed/two aborted"})
    assert every.stderr == "dagway: not stopped: Run 'asking' waits for approval: approve or reject it\n"
    assert dagway("dequeue", "mixed", "--dag-run=mixed:queued").exit_code == 0


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
    assert waits.stderr.endswith("dagway: to go on: dagway approve asks check --run-id a1 --input SIZE=VALUE\n")
    assert re.search(r"^asks +a1 +check", dagway("approve").stdout, re.MULTILINE)
    assert "SIZE" in dagway("approve", "asks").stderr, "an input is missing"
    assert dagway("approve", "asks", "--input", "SIZE=large").stdout == "approved\n"
    client.until("succeeded", "asks", "a1")
    assert dagway("logs", "asks", "use").stdout == "size large\n"

    dagway("start", "asks", "-r", "a2", "-q")
    assert dagway("reject", "asks", "check", "--reason", "too large").stdout == "rejected\n"
    client.until("rejected", "asks", "a2")
    assert dagway("approve", "asks").stderr == "dagway: no run of asks waits for approval\n"


def test_the_list_of_approvals_tells_the_items_of_a_fan_out_apart(dagway: Dagway, client: Client) -> None:
    client.create(
        "asks-each",
        "steps: [{name: fan, call: each-one, parallel: [eu, us], params: {REGION: '${ITEM}'}}]\n"
        "---\nname: each-one\nparams: [{REGION: ''}]\nsteps: [{name: look, type: hitl}]\n",
    )
    dagway("start", "asks-each", "-r", "e1", "-q")

    shown = dagway("approve").stdout

    for region in ("eu", "us"):
        assert re.search(rf'^asks-each +e1 +look .* of each-one +REGION="{region}"$', shown, re.MULTILINE), shown
    found = client.ask("GET", "/approvals").json["approvals"]
    for each in found:
        if each["name"] == "asks-each":
            dagway("reject", "asks-each", "look", "--run-id=e1", "--sub-run-id", each["subDAGRunId"], "-q")


def test_a_step_of_a_sub_run_is_approved_by_the_root_run(dagway: Dagway, client: Client) -> None:
    client.create("asks-below", ASKS_BELOW)

    waits = dagway("start", "asks-below", "-r", "b1")
    row = re.search(r"^asks-below +b1 +look +\S+ \S+ +(\S+) of below(?: +-)?$", dagway("approve").stdout, re.MULTILINE)
    assert row, dagway("approve").stdout
    assert waits.stderr.endswith(
        f"dagway: to go on: dagway approve asks-below look --sub-run-id {row[1]} --run-id b1\n"
    )
    assert "approve or reject their steps" in dagway("approve", "asks-below", "calls").stderr
    assert dagway("approve", "asks-below").stdout == "approved\n"
    client.until("succeeded", "asks-below", "b1")

    dagway("start", "asks-below", "-r", "b2", "-q")
    assert dagway("reject", "asks-below", "look").stdout == "rejected\n"
    client.until("failed", "asks-below", "b2")

    shown = dagway("start", "asks-below", "-r", "b3").stderr.splitlines()[-1].partition("to go on: dagway ")[2]
    assert dagway(*shown.split()).stdout == "approved\n", shown
    client.until("succeeded", "asks-below", "b3")


def test_history_watch_and_events_of_a_run(dagway: Dagway, client: Client) -> None:
    client.create("seen", GREET)
    dagway("start", "-q", "seen", "-r", "h1")
    dagway("start", "-q", "seen", "-r", "h2")

    lines = plain(dagway("history", "seen").stdout).splitlines()
    assert lines[0] == "DAG  RUN  STATUS  BEGAN  TOOK  PARAMS"
    assert [line.split()[1] for line in lines[1:]] == ["h2", "h1"]
    assert dagway("history", "seen", "--status", "failed").stderr == "no runs\n"
    assert len(json.loads(dagway("history", "seen", "--limit", "1", "--json").stdout)["dagRuns"]) == 1
    assert dagway("watch", "seen", "h1").exit_code == 0
    events = [json.loads(line) for line in dagway("events", "seen", "h1", "--json").stdout.splitlines()]
    assert [(each["stepName"], each["became"]) for each in events][-1] == (None, "succeeded")
    rest = dagway("events", "seen", "h1", "--after", events[-2]["id"]).stdout
    assert plain(rest) == "TIME seen/h1 succeeded: all steps are done (by scheduler)\n"


def test_logs_are_followed_over_an_interruption(client: Client, deployment: Deployment, tmp_path: Path) -> None:
    """The gateway is away while a line is written: killed where it is a process of its own, else held up."""
    go, done = tmp_path / "go", tmp_path / "done"
    wait = f"while [ ! -e {go} ]; do sleep 0.1; done"
    script = f"echo one; {wait}; echo two; touch {done}"
    client.create("talks", f"steps:\n  - name: talk\n    command: |\n      {script}\n")
    client.start("talks", "t1")
    gateway = deployment.gateways[0]
    own_process = gateway not in deployment.workers

    env = {"DAGWAY_URL": client.base}
    with DagwayProcess("logs", "talks", "--run-id", "t1", "-f", folder=tmp_path, env=env) as following:
        following.wait_output("talk | one")
        if own_process:
            gateway.kill9()
        else:
            gateway.freeze()
        try:
            go.touch()
            if own_process:
                eventually(done.exists)
        finally:
            if own_process:
                deployment.start(gateway)
            else:
                gateway.thaw()
        assert following.wait_exit() == 0
        lines = following.output().splitlines()
        assert [line for line in lines if not line.startswith("dagway: connection lost")] == [
            "talk | one",
            "talk | two",
        ]
    eventually(lambda: client.run("talks", "t1")["statusLabel"] == "succeeded")
