"""Following a running run at any gateway: its output by line numbers, its transitions as an event stream."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import urllib3

from tests.harness.client import Client
from tests.harness.eventually import eventually

_LINES = 12
_SPEC = f"""
steps:
  - name: talk
    command: for i in $(seq {_LINES}); do echo line $i; echo oops $i >&2; UNTIL_READ; done
  - name: end
    command: echo over
"""
_MANY_LINES = 30_000  # more than travels with the report of the end
_LONG = f"""
steps:
  - name: long
    command: seq {_MANY_LINES}; seq {_MANY_LINES} >&2
  - name: made
    command: echo made
    output: MADE
handlerOn:
  exit:
    command: seq {_MANY_LINES}
"""
_AT_ONCE = 12


def test_output_is_read_while_it_is_written_each_line_once(
    client: Client, dag: Callable[[str], str], tmp_path: Path
) -> None:
    # Each line is written when all lines before it have been read.
    name = dag(_SPEC.replace("UNTIL_READ", f"until test -e {tmp_path}/$i; do sleep 0.02; done"))
    client.start(name)
    seen: dict[str, list[str]] = {"stdout": [], "stderr": []}

    def followed() -> None:
        for stream, lines in seen.items():
            # Any gateway in turn: where a reader stands is its own affair.
            offset = len(lines) + 1
            answer = client.ask("GET", f"/dag-runs/{name}/r1/steps/talk/log?stream={stream}&offset={offset}&limit=1000")
            assert answer.status == 200, answer
            lines += [line for line in str(answer.json["content"]).split("\n") if line]
        (tmp_path / str(min(map(len, seen.values())))).touch()
        assert all(len(lines) == _LINES for lines in seen.values()), seen

    eventually(followed, every_s=0.1)
    assert seen["stdout"] == [f"line {number}" for number in range(1, _LINES + 1)]
    assert seen["stderr"] == [f"oops {number}" for number in range(1, _LINES + 1)]
    client.until("succeeded", name)


def test_transitions_come_as_they_happen_from_a_gateway_that_was_not_asked_to_start(
    client: Client, dag: Callable[[str], str]
) -> None:
    name = dag(_SPEC.replace("UNTIL_READ", "sleep 0.1"))
    client.start(name)
    # The last of the gateways; the first took the command.
    url = f"http://127.0.0.1:{client._ports[-1]}/api/v2/dag-runs/{name}/r1/events"
    stream = urllib3.request("GET", url, preload_content=False, timeout=urllib3.Timeout(connect=5, read=30))
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    text = b"".join(stream.stream(1024, decode_content=True)).decode()
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    of_step = [event["became"] for event in events if event["stepName"] == "talk"]
    assert (of_step[0], of_step[-1]) == ("running", "succeeded")
    assert events[-1]["became"] == "succeeded"
    assert events[-1]["stepName"] is None


def test_whoever_sees_an_end_can_read_the_last_byte_while_many_runs_end(
    client: Client, dag: Callable[[str], str]
) -> None:
    name = dag(_LONG)

    def read_at_once(run_id: str) -> list[object]:
        client.start(name, run_id)
        client.until("succeeded", name, run_id, timeout_s=120)
        # Nothing here waits or asks again: what is read is what is there when the end is seen.
        logs = [("long", "stdout"), ("long", "stderr"), ("onExit", "stdout")]
        read = [client.log(name, run_id, step, f"?stream={stream}&tail=1") for step, stream in logs]
        return [*((log["content"].strip(), log["totalLines"]) for log in read), client.outputs(name, run_id)["made"]]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        seen = list(pool.map(read_at_once, (f"r{number}" for number in range(_AT_ONCE))))

    assert seen == [[(str(_MANY_LINES), _MANY_LINES)] * 3 + ["made"]] * _AT_ONCE
