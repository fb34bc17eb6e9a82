"""Transcripts of the commands for schedules, queues, workers, secrets and settings, on both deployments."""

import json
import os
import pty
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.e2e.transcripts import GREET, Dagway, plain
from tests.harness.client import Client
from tests.harness.cluster import Deployment
from tests.harness.eventually import eventually
from tests.harness.procs import OWN_PROGRAM, clean_environment

SECRETIVE = """
secrets: [{name: T, provider: stored, key: cli-token}]
steps:
  - command: echo "$T"; test "$T" = hunter2-and-more
"""


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


def test_queues_pauses_and_why(dagway: Dagway, client: Client) -> None:
    client.create("queued", GREET)

    assert dagway("pause", "queued", "--reason", "we move").stdout == "queued is paused\n"
    assert dagway("enqueue", "--run-id=q1", "queued").stdout == "q1\n"
    assert dagway("enqueue", "--run-id", "q2", "-q", "queued").output == ""
    second = int(time.time())
    eventually(lambda: time.time() > second + 1)  # the API says in which second a run was queued
    assert dagway("enqueue", "--run-id=q3", "--priority=high", "queued").stdout == "q3\n"
    assert re.search(r"dag queued +paused +0 .* we move", dagway("pause").stdout)
    assert "we move" in dagway("why", "queued", "q1").stdout
    assert json.loads(dagway("why", "queued", "q1", "--json").stdout)["waits"][0]["dagRunId"] == "q1"
    assert re.search(r"^queued +dag-based +1 +0 +3$", dagway("queues").stdout, re.MULTILINE)
    assert dagway("dequeue", "queued", "--dag-run=queued:q2").stdout == "queued/q2 removed from the queue\n"
    assert dagway("dequeue", "queued").stdout == "queued/q3 removed from the queue\n", "it would start first"
    assert dagway("dequeue", "queued").stdout == "queued/q1 removed from the queue\n"
    assert dagway("dequeue", "queued").stderr == "dagway: the queue 'queued' is empty\n"
    assert dagway("resume", "queued").stdout == "queued is resumed\n"
    assert dagway("pause", "queued", "--all").exit_code == 2


def test_a_run_of_a_file_that_the_server_does_not_keep_says_what_it_waits_for(dagway: Dagway, tmp_path: Path) -> None:
    (tmp_path / "unkept.yaml").write_text('workerSelector: {on: moon}\nsteps: ["true"]\n')
    assert dagway("start", "--detach", "--run-id=u1", str(tmp_path / "unkept.yaml")).exit_code == 0
    waits = r"unkept: no schedule starts it\nunkept/u1, step cmd_1, waits for: no live worker with labels on=moon$"

    eventually(lambda: re.match(waits, dagway("why", "unkept").stdout) is not None)
    assert dagway("stop", "-q", "unkept").exit_code == 0
    assert dagway("why", "unkept").stdout == "unkept: no schedule starts it\n"
    assert dagway("why", "no-such").stderr == "dagway: there is no DAG 'no-such'\n"


def test_schedules_and_lists(dagway: Dagway, client: Client) -> None:
    client.create("nightly", 'schedule: "0 2 29 2 *"\ntags: [night]\nsteps: ["true"]\n')

    assert dagway("suspend", "nightly").stdout == "the schedule of nightly is off\n"
    listed = dagway("ls", "--tag", "night").stdout
    assert re.search(r"^nightly +0 2 29 2 \* \(suspended\) +- +- +-$", listed, re.MULTILINE)
    assert dagway("resume", "nightly").exit_code == 0
    slots = dagway("slots", "nightly")
    assert (slots.stdout, slots.stderr.splitlines()[0]) == ("", "no scheduled time has passed yet")
    client.create("by-hand", "steps: [echo hi]\n")
    why_none = "no scheduled time has passed, and none is coming: dagway why by-hand says why\n"
    assert dagway("slots", "by-hand").stderr == why_none
    assert [each["fileName"] for each in json.loads(dagway("ls", "night", "--json").stdout)["dags"]] == ["nightly.yaml"]
    assert dagway("ls", "no-such").stderr == "no DAG matches\n"
    assert "slots" in json.loads(dagway("slots", "nightly", "--json").stdout)
    assert "slots" in json.loads(dagway("slots", "--json").stdout)
    assert dagway("pools").stderr == "no pools\n"


def test_a_plan_has_the_steps_of_all_called_dags_and_how_long_they_took(dagway: Dagway, client: Client) -> None:
    client.create("calls", "params: DAY=monday\nsteps:\n  - name: get\n    command: echo hi\n  - call: called\n")
    client.create("called", "steps:\n  - name: leaf\n    command: echo leaf\n")
    dagway("start", "-q", "calls", "-r", "p1")

    shown = plain(dagway("plan", "calls", "--", "DAY=sunday").stdout)
    found = json.loads(dagway("plan", "calls", "--json").stdout)

    assert shown == (
        "calls\n"
        "  params: DAY=sunday\n"
        "  STAGE  STEP  AFTER  DOES  NOTES  MEDIAN  P95\n"
        "  1  get  -  echo hi  -  0s  0s\n"
        "  2  dag_2  get  calls called  -  0s  0s\n"
        "called\n"
        "  STAGE  STEP  AFTER  DOES  NOTES  MEDIAN  P95\n"
        "  1  leaf  -  echo leaf  -  -  -\n"
        "1 run that succeeded: median 0s, P95 0s\n"
    )
    assert (found["params"], [dag["name"] for dag in found["dags"]]) == ({"DAY": "monday"}, ["calls", "called"])
    assert found["dags"][0]["steps"][0]["duration"]["count"] == found["duration"]["count"] == 1
    assert dagway("plan", "no-such").exit_code == 1


def test_dry_and_validate_take_the_name_of_a_dag_of_the_server(dagway: Dagway, client: Client, tmp_path: Path) -> None:
    client.create("asked", "params: DAY=monday\nsteps:\n  - name: get\n    command: echo hi\n")

    shown = plain(dagway("dry", "asked", "--name", "other", "--", "DAY=sunday").stdout)
    assert shown == "other\n  params: DAY=sunday\n  STAGE  STEP  AFTER  DOES  NOTES\n  1  get  -  echo hi  -\n"
    base = tmp_path / "base.yaml"
    base.write_text("params: WEEK=one\nhandlerOn: {exit: {command: 'true'}}\n")
    based = plain(dagway("dry", "asked", "--base-config", str(base)).stdout)
    assert ("params: WEEK=one DAY=monday\n" in based, "onExit" in based) == (True, True)
    assert dagway("validate", "asked").stdout == "asked: valid (1 dag, 1 step)\n"
    missing = dagway("validate", "no-such")
    assert (missing.exit_code, missing.stderr) == (
        1,
        "no-such: there is no such file here; as the name of a DAG: There is no DAG 'no-such'\n",
    )
    assert dagway("dry", "no-such").exit_code == 1


def test_stored_secrets(dagway: Dagway, client: Client) -> None:
    done = dagway("secrets", "set", "cli-token", "--dag", "tells-*", stdin="hunter2-and-more\n")
    assert done.stdout == "cli-token set (version 1)\n", done.output
    client.create("tells-1", SECRETIVE)

    assert dagway("start", "-q", "tells-1", "-r", "s1").exit_code == 0
    assert dagway("logs", "tells-1").stdout == "cmd_1 | *******\n"
    listed = dagway("secrets", "list").stdout
    assert re.search(r"^cli-token +1 +(own-\w+|tests) .* tells-\*$", listed, re.MULTILINE), listed
    assert "hunter2" not in dagway("secrets", "list", "--json").stdout
    assert dagway("secrets", "rotate").stdout == "0 secrets sealed anew\n"
    assert "the value is empty" in dagway("secrets", "set", "cli-token", stdin="\n").stderr
    assert dagway("secrets", "delete", "cli-token").stdout == "cli-token deleted\n"
    assert dagway("secrets", "list").stderr == "no stored secrets\n"


def test_cleanup_deletes_the_runs_that_have_ended(dagway: Dagway, client: Client) -> None:
    client.create("cleaned", GREET)
    for run_id in ("c1", "c2"):
        client.start("cleaned", run_id)
        client.until("succeeded", "cleaned", run_id)
    dagway("pause", "cleaned")
    dagway("enqueue", "--run-id=c3", "cleaned")

    assert dagway("cleanup", "--retention-days=1", "-y", "cleaned").stdout == "0 runs of cleaned deleted\n"
    assert "not in the range" in dagway("cleanup", "--retention-days=999999", "cleaned").stderr
    dry = "cleaned/c2\ncleaned/c1\n2 runs of cleaned would be deleted\n"
    assert dagway("cleanup", "--dry-run", "cleaned").stdout == dry
    assert dagway("cleanup", "cleaned").exit_code == 1, "nobody confirmed"
    assert dagway("cleanup", "-y", "cleaned").stdout == "2 runs of cleaned deleted\n"
    assert [run["dagRunId"] for run in json.loads(dagway("history", "cleaned", "--json").stdout)["dagRuns"]] == ["c3"]


def test_doctor_and_workers(dagway: Dagway, deployment: Deployment) -> None:
    def healthy() -> None:
        said = dagway("doctor")
        assert said.exit_code == 0, said.output
        found = [line.split() for line in said.stdout.splitlines()]
        assert {level for level, check, *_ in found if check != "DAGs"} == {"ok"}, found

    # On a busy machine a worker's lease may end before its next heartbeat is heard, and an answer may take so long that
    # the clocks seem to differ.
    eventually(healthy)
    worker = "local" if deployment.name == "embedded" else "w1"
    eventually(lambda: re.search(rf"^{worker} +live +\d+/", dagway("workers").stdout, re.MULTILINE) is not None)


def test_a_drained_worker_takes_no_new_runs_until_it_is_resumed(
    dagway: Dagway, client: Client, deployment: Deployment
) -> None:
    worker = "local" if deployment.name == "embedded" else "w1"
    client.create("kept-back", "steps: [echo hi]\n")

    def drain_of() -> dict[str, Any]:
        [found] = [each for each in json.loads(dagway("workers", "--json").stdout)["workers"] if each["id"] == worker]
        return dict(found.get("drain", {}))

    eventually(lambda: worker in dagway("workers").stdout)
    said = dagway("workers", "drain", worker, "--reason", "new disk")
    try:
        assert (said.exit_code, said.stdout) == (0, f"worker {worker} takes no new runs\n"), said.output
        eventually(lambda: drain_of().get("heard") is True)
        assert re.search(rf"^{worker} +draining .* anonymous \S+.*: new disk$", dagway("workers").stdout, re.MULTILINE)
        eventually(lambda: "all are draining: no new run can start -> see dagway workers" in dagway("doctor").stdout)
        client.start("kept-back")
        wanted = f"a worker that takes new runs: {worker} is draining"
        eventually(lambda: wanted in dagway("why", "kept-back", "r1").stdout)
    finally:
        resumed = dagway("workers", "resume", worker)
    assert (resumed.exit_code, resumed.stdout) == (0, f"worker {worker} takes new runs\n"), resumed.output
    client.until("succeeded", "kept-back")
    assert drain_of() == {}
    assert dagway("workers", "resume", worker).exit_code == 1
    assert dagway("workers", "drain", "nobody").exit_code == 1
    assert dagway("workers", "--json", "drain", worker).exit_code == 2


def test_the_settings_of_a_gateway(dagway: Dagway, client: Client) -> None:
    port = client.base.rpartition(":")[2]

    changed = dagway("settings", "--set")

    assert changed.exit_code == 0, changed.output
    assert re.search(rf"^DAGWAY_PORT +{port} +DAGWAY_PORT$", changed.stdout, re.MULTILINE), changed.stdout
    assert len(dagway("settings").stdout.splitlines()) > len(changed.stdout.splitlines())
    [found] = [
        each
        for each in json.loads(dagway("settings", "--json").stdout)["settings"]
        if each["variable"] == "DAGWAY_PORT"
    ]
    assert (found["value"], found["setBy"]) == (port, "DAGWAY_PORT")


def test_a_gateway_that_is_away_is_said_with_what_to_do(dagway: Dagway) -> None:
    away = dagway("ls", "--url", "127.0.0.1:1")

    assert away.exit_code == 3
    assert away.stderr == (
        "dagway: the gateway at http://127.0.0.1:1 (from --url) cannot be reached: Connection refused; "
        "start one with `dagway up`, or give another by --url or DAGWAY_URL\n"
    )
    assert dagway("events", "--url", "127.0.0.1:1").stderr == away.stderr
    assert dagway("doctor", "--url", "127.0.0.1:1").stdout.splitlines()[1] == (
        "problem  gateway      the gateway at http://127.0.0.1:1 (from --url) cannot be reached: Connection refused -> "
        "start one with `dagway up`, or give another by --url or DAGWAY_URL"
    )


def test_a_server_without_accounts_asks_for_no_token_or_role(dagway: Dagway) -> None:
    users, keys = dagway("users", "list"), dagway("keys", "list")

    why = "the builtin authentication mode (DAGWAY_AUTH_MODE=builtin)\n"
    assert (users.exit_code, users.stderr) == (1, f"dagway: User accounts require {why}")
    assert (keys.exit_code, keys.stderr) == (1, f"dagway: API keys require {why}")


def test_a_terminal_has_its_cursor_again_when_a_signal_has_ended_watch(client: Client, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    env = clean_environment(tmp_path, DAGWAY_URL=client.base, TERM="xterm")
    with subprocess.Popen([OWN_PROGRAM, "watch"], stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        while b"active run" not in shown:
            shown += os.read(ours, 65_536)
        process.terminate()
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:  # Linux says so when the other side is closed
            pass
        assert process.wait() == 130, shown
    os.close(ours)

    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l") >= 0
