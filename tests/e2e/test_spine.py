"""The main operations over REST: create, start, outputs, failure, stop, retry, queue, restart."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shared.store import tables as t
from tests.harness.client import Client
from tests.harness.cluster import Deployment, gone, pid_in
from tests.harness.eventually import eventually

Dag = Callable[[str], str]
Go = Callable[..., str]

GRAPH = """
type: graph
steps:
  - name: left
    command: echo 20
    output: LEFT
  - name: right
    command: echo 22
    output: RIGHT
  - name: sum
    depends: [left, right]
    command: expr ${LEFT} + ${RIGHT}
    output: SUM
  - name: tell
    depends: sum
    script: |
      echo "left $LEFT, right $RIGHT"
      echo "the sum is ${SUM}" >&2
"""
FAILING = """
type: graph
steps:
  - name: good
    command: echo good >> {folder}/good && cat {folder}/good
    output: GOOD
  - name: bad
    depends: good
    command: test -e {folder}/mended && echo mended
  - name: after
    depends: bad
    command: echo "after ${{GOOD}}"
    output: AFTER
  - name: aside
    depends: good
    command: echo aside >> {folder}/aside
"""


def test_a_chain_hands_outputs_on_and_succeeds(client: Client, go: Go) -> None:
    name = go(
        "steps:\n"
        "  - name: first\n    command: echo 42\n    output: ANSWER\n"
        '  - name: second\n    command: echo "it is ${ANSWER}"\n    output: SENTENCE\n'
        "  - command: test \"$SENTENCE\" = 'it is 42'\n"
    )

    run = client.run(name)
    assert client.steps(name) == {"first": "succeeded", "second": "succeeded", "cmd_3": "succeeded"}
    assert client.outputs(name) == {"answer": "42", "sentence": "it is 42"}
    assert (run["name"], run["dagRunId"], run["rootDAGRunName"], run["status"]) == (name, "r1", name, 4)
    assert run["startedAt"] <= run["nodes"][0]["startedAt"] <= run["nodes"][2]["finishedAt"] <= run["finishedAt"]


def test_a_graph_waits_for_its_dependencies(client: Client, go: Go) -> None:
    name = go(GRAPH)

    assert client.outputs(name) == {"left": "20", "right": "22", "sum": "42"}
    assert client.text(name, "r1", "tell") == "left 20, right 22"
    assert client.text(name, "r1", "tell", "?stream=stderr") == "the sum is 42"
    listed = client.ask("GET", f"/dag-runs/{name}").json["dagRuns"]
    assert [(run["dagRunId"], run["statusLabel"]) for run in listed] == [("r1", "succeeded")]


def test_what_depends_on_a_failed_step_is_aborted(client: Client, go: Go, tmp_path: Path) -> None:
    name = go(FAILING.format(folder=tmp_path), "failed")

    assert client.steps(name) == {"good": "succeeded", "bad": "failed", "after": "aborted", "aside": "succeeded"}
    (bad,) = [node for node in client.run(name)["nodes"] if node["step"]["name"] == "bad"]
    assert "exit status 1" in bad["error"]


def test_logs_are_read_whole_and_in_windows(client: Client, go: Go) -> None:
    name = go(
        "steps:\n  - name: count\n    script: |\n      seq 1 2500\n"
        "      printf 'oops\\r\\n' >&2\n      printf 'no newline'\n"
    )

    def window(query: str) -> tuple[str, str, int, int, bool]:
        log = client.log(name, "r1", "count", query)
        lines = log["content"].split("\n")
        return lines[0], lines[-1], log["lineCount"], log["totalLines"], log["hasMore"]

    eventually(lambda: client.log(name, "r1", "count")["totalLines"] == 2501)
    assert window("") == ("1", "1000", 1000, 2501, True)
    assert window("?head=3") == ("1", "3", 3, 2501, True)
    assert window("?tail=2") == ("2500", "no newline", 2, 2501, True)
    assert window("?offset=2000&limit=10") == ("2000", "2009", 10, 2501, True)
    assert window("?offset=2500&limit=10") == ("2500", "no newline", 2, 2501, False)
    assert window("?limit=9999") == ("1", "no newline", 2501, 2501, False)
    assert client.text(name, "r1", "count", "?stream=stderr") == "oops"
    run_log = client.log(name, "r1")["content"].split("\n")
    assert "run not_started -> running: begins" in run_log[0]
    assert "run running -> succeeded" in run_log[-1]


def test_a_stopped_run_leaves_no_process_behind(client: Client, dag: Dag, tmp_path: Path) -> None:
    name = dag(
        f"steps:\n  - name: long\n    script: |\n      sleep 600 &\n      echo $! > {tmp_path}/child\n"
        f"      echo $$ > {tmp_path}/pid\n      wait\n  - echo never\n"
    )
    client.start(name)
    pids = [pid_in(tmp_path / "pid"), pid_in(tmp_path / "child")]
    client.until_step("running", name, "r1", "long")

    assert client.ask("POST", f"/dag-runs/{name}/r1/stop").status == 200

    client.until("aborted", name)
    assert client.steps(name) == {"long": "aborted", "cmd_2": "not_started"}
    eventually(lambda: all(gone(pid) for pid in pids))
    again = client.ask("POST", f"/dag-runs/{name}/r1/stop")
    assert (again.status, again.code) == (400, "not_running")


def test_a_retry_keeps_what_succeeded(client: Client, go: Go, tmp_path: Path) -> None:
    name = go(FAILING.format(folder=tmp_path), "failed")
    (tmp_path / "mended").touch()

    assert client.ask("POST", f"/dag-runs/{name}/r1/retry", {"dagRunId": "r1"}).status == 200

    client.until("succeeded", name)
    assert client.outputs(name) == {"good": "good", "after": "after good"}
    assert (tmp_path / "good").read_text() == "good\n"
    assert (tmp_path / "aside").read_text() == "aside\n"


def test_a_retry_under_a_new_id_is_a_run_of_its_own(client: Client, go: Go, tmp_path: Path) -> None:
    name = go(FAILING.format(folder=tmp_path), "failed")
    (tmp_path / "mended").touch()

    assert client.ask("POST", f"/dag-runs/{name}/r1/retry", {"dagRunId": "r2"}).status == 200

    client.until("succeeded", name, "r2")
    assert client.run(name, "r1")["statusLabel"] == "failed"
    assert client.outputs(name, "r2") == {"good": "good", "after": "after good"}
    assert (tmp_path / "good").read_text() == "good\n"


def test_one_step_is_retried_alone(client: Client, go: Go, tmp_path: Path) -> None:
    name = go(FAILING.format(folder=tmp_path), "failed")

    body = {"dagRunId": "r1", "stepName": "aside"}
    assert client.ask("POST", f"/dag-runs/{name}/r1/retry", body).status == 200

    eventually(lambda: (tmp_path / "aside").read_text() == "aside\naside\n")
    eventually(lambda: client.run(name)["statusLabel"] != "running")
    assert client.steps(name) == {"good": "succeeded", "bad": "failed", "after": "aborted", "aside": "succeeded"}
    assert (tmp_path / "good").read_text() == "good\n"
    unknown = client.ask("POST", f"/dag-runs/{name}/r1/retry", {"dagRunId": "r1", "stepName": "none"})
    assert (unknown.status, unknown.code) == (404, "not_found")


def test_a_step_set_right_by_hand_is_not_run_by_the_retry(client: Client, go: Go, tmp_path: Path) -> None:
    name = go(FAILING.format(folder=tmp_path), "failed")

    assert client.ask("PATCH", f"/dag-runs/{name}/r1/steps/bad/status", {"status": 4}).status == 200
    assert client.steps(name)["bad"] == "succeeded"
    assert client.run(name)["statusLabel"] == "failed"
    assert client.ask("POST", f"/dag-runs/{name}/r1/retry", {"dagRunId": "r1"}).status == 200

    client.until("succeeded", name)
    assert client.outputs(name) == {"good": "good", "after": "after good"}


def test_a_queue_runs_one_after_the_other_in_order(client: Client, dag: Dag, tmp_path: Path) -> None:
    name = dag(
        f'params:\n  - N: 0\nsteps:\n  - echo "begin $N" >> {tmp_path}/order; echo "end $N" >> {tmp_path}/order\n'
    )
    for number in range(4):
        body = {"dagRunId": f"q{number}", "params": f"N={number}"}
        assert client.ask("POST", f"/dags/{name}/enqueue", body).json == {"dagRunId": f"q{number}"}

    for number in range(4):
        client.until("succeeded", name, f"q{number}")
    expected = [f"{word} {number}" for number in range(4) for word in ("begin", "end")]
    assert (tmp_path / "order").read_text().splitlines() == expected
    assert client.run(name, "q0")["queuedAt"]


def test_a_dequeued_run_disappears(client: Client, dag: Dag, tmp_path: Path) -> None:
    name = dag(f"steps:\n  - until test -e {tmp_path}/go; do sleep 0.05; done\n")
    client.start(name, "busy")
    client.ask("POST", f"/dags/{name}/enqueue", {"dagRunId": "q1"})
    assert client.run(name, "q1")["statusLabel"] == "queued"

    assert client.ask("GET", f"/dag-runs/{name}/q1/dequeue").status == 200

    assert client.ask("GET", f"/dag-runs/{name}/q1").status == 404
    (tmp_path / "go").touch()
    client.until("succeeded", name, "busy")
    assert client.ask("GET", f"/dag-runs/{name}/busy/dequeue").code == "bad_request"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("", ["dev", "eu", ""]),
        ("STAGE=prod", ["prod", "eu", ""]),
        ('STAGE="a b" REGION=us', ["a b", "us", ""]),
        ('{"STAGE": "json", "REGION": 7}', ["json", "7", ""]),
        ({"STAGE": "object"}, ["object", "eu", ""]),
        ("here", ["dev", "eu", "here"]),
        ('["there", {"REGION": "x"}]', ["dev", "x", "there"]),
        ('STAGE="$(touch never)`id`"', ["$(touch never)`id`", "eu", ""]),
    ],
)
def test_params_of_every_form_reach_the_steps(client: Client, go: Go, given: object, seen: list[str]) -> None:
    name = go(
        "params:\n  - STAGE: dev\n  - REGION: eu\n"
        'steps:\n  - name: see\n    command: printenv STAGE; printenv REGION; echo "[$1]"\n',
        params=given,
    )

    stage, region, positional = seen
    assert client.text(name, "r1", "see").split("\n") == [stage, region, f"[{positional}]"]


def test_env_scripts_shells_and_lists_do_what_they_say(client: Client, go: Go) -> None:
    name = go(r"""
env:
  - GREETING: hello
  - BOTH: "${GREETING} world"
steps:
  - name: env
    env:
      - OWN: "${BOTH}!"
    command: echo "$OWN"
    output: ENV
  - name: script
    script: |
      #!/usr/bin/env python3
      import os
      print(os.environ["BOTH"].upper())
    output: SCRIPT
  - name: shell
    shell: bash
    command: words=(a b c); echo "${#words[@]}"
    output: WORDS
  - name: direct
    shell: direct
    command: echo "*" $((1+1))
    output: DIRECT
  - name: several
    command:
      - echo one
      - echo two
  - name: in-a-shell-of-its-own
    command: ps -o pgid= -p $$ | tr -d ' '; echo $$
    output: GROUP
""")

    found = client.outputs(name)
    assert found["env"] == "hello world!"
    assert found["script"] == "HELLO WORLD"
    assert found["words"] == "3"
    assert found["direct"].startswith("* ")
    assert client.text(name, "r1", "several") == "one\ntwo"
    group, own = found["group"].split()
    assert group == own


def test_any_text_passes_unchanged_through_params_and_outputs(client: Client, go: Go) -> None:
    text = "Grüße, 世界 👋 \u202e \\ ' \" $HOME `id` %s"
    name = go(
        'params:\n  - TEXT: ""\nsteps:\n  - name: "Schritt / 一"\n    command: printenv TEXT\n    output: SAID\n'
        "  - name: bytes\n    command: printf '\\377\\376 tail\\n'\n",
        params={"TEXT": text},
    )

    assert client.outputs(name) == {"said": text}
    assert client.text(name, "r1", "Schritt%20%2F%20%E4%B8%80") == text
    assert client.text(name, "r1", "bytes") == "\ufffd\ufffd tail"


def test_what_was_recorded_is_read_at_once_from_every_gateway(client: Client, dag: Dag) -> None:
    name = dag("steps:\n  - echo hi\n")
    for number in range(20):
        client.start(name, f"n{number}")

        assert client.once("GET", f"/dag-runs/{name}/n{number}").status == 200
        assert client.once("GET", f"/dag-runs/{name}/latest").json["dagRunDetails"]["dagRunId"] == f"n{number}"
    assert client.ask("PUT", f"/dags/{name}/spec", {"spec": "steps:\n  - echo changed\n"}).json == {"errors": []}
    assert "changed" in client.once("GET", f"/dags/{name}/spec").json["spec"]
    assert client.ask("DELETE", f"/dags/{name}").status == 204
    assert client.once("GET", f"/dags/{name}").status == 404


def test_a_request_sent_twice_with_one_key_is_one_run(client: Client, dag: Dag) -> None:
    name = dag("steps:\n  - echo hi\n")

    answers = [client.ask("POST", f"/dags/{name}/start", {}, key=f"key-{name}") for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert len({answer.json["dagRunId"] for answer in answers}) == 1
    assert len(client.ask("GET", f"/dag-runs/{name}").json["dagRuns"]) == 1
    other = client.ask("POST", f"/dags/{name}/start", {"params": "A=1"}, key=f"key-{name}")
    assert (other.status, other.code) == (409, "already_exists")
    plain = client.ask("POST", f"/dags/{name}/start", {"dagRunId": answers[0].json["dagRunId"]})
    assert (plain.status, plain.code) == (409, "already_exists")


def test_a_restart_of_everything_keeps_everything(
    deployment: Deployment, client: Client, go: Go, tmp_path: Path
) -> None:
    name = go(FAILING.format(folder=tmp_path), "failed")
    busy = go("steps:\n  - name: one\n    command: echo kept\n    output: KEPT\n")
    before = (client.run(name), client.run(busy), client.outputs(busy), client.log(name, "r1"))

    assert set(deployment.stop()) == {0}
    deployment.start()

    after = (client.run(name), client.run(busy), client.outputs(busy), client.log(name, "r1"))
    assert after == before
    assert client.text(busy, "r1", "one") == "kept"
    (tmp_path / "mended").touch()
    client.ask("POST", f"/dag-runs/{name}/r1/retry", {"dagRunId": "r1"})
    client.until("succeeded", name)
    assert (tmp_path / "good").read_text() == "good\n"


def test_nothing_is_left_over_when_all_runs_have_ended(deployment: Deployment, go: Go) -> None:
    go(GRAPH)

    # Runs that other tests have left on this system may still be ending.
    eventually(lambda: deployment.rows(t.outbox) == [])
    eventually(lambda: deployment.rows(t.timers) == [])
    eventually(lambda: [row for row in deployment.rows(t.nodes) if row["token"] is not None] == [])
