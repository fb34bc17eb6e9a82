"""``start?wait=`` returns the run's details exactly as GET does, when a scheduler says that the run has ended."""

import copy
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

import pytest
from prometheus_client import REGISTRY

from services.api.followers import Followers
from shared.contracts.codec import Envelope, decode
from shared.contracts.events import LogChunk
from shared.status import RunStatus
from shared.store.reads.reader import RunRow
from tests.conformance.rest_live import Live
from tests.harness.eventually import eventually

LOCKED = "steps:\n  - name: work\n    command: sleep 3600\n    lock: table\n"
NAPS = "steps:\n  - name: nap\n    command: sleep 3600\n"
"""It does not end before its worker: the end of a run between a request and its reply makes a gateway look."""
REPEATS_A_CALL = """\
steps:
  - name: loop
    call: kid
    repeatPolicy: {repeat: while, condition: "true", limit: 2, intervalSec: 0}
---
name: kid
steps:
  - echo hi
"""


def test_a_run_that_waits_for_a_lock_says_who_holds_it(live: Live) -> None:
    live.dag("locked", LOCKED)
    live.start("locked", dagRunId="holder")
    eventually(lambda: live.run("locked", "holder")["nodes"][0]["statusLabel"] == "running")

    started = live.post("/dags/locked/start?wait=1s", {"dagRunId": "second"})

    assert started["finished"] is False
    [node] = started["dagRunDetails"]["nodes"]
    assert node["waitingFor"] == "lock table, held by locked/holder (work)"
    assert started["dagRunDetails"] == live.run("locked", "second")


def test_a_finished_run_names_the_sub_runs_of_earlier_repetitions(live: Live) -> None:
    live.dag("loop", REPEATS_A_CALL)

    started = live.post("/dags/loop/start?wait=60s", {"dagRunId": "r"})

    assert started["finished"] is True
    [node] = started["dagRunDetails"]["nodes"]
    assert len(node["subRunsRepeated"]) == 1
    assert started["dagRunDetails"] == live.run("loop", "r")


ASKS = "steps:\n  - name: check\n    executor: {type: hitl, config: {prompt: 'Go on?'}}\n"


def test_start_sync_returns_the_run_when_it_has_ended_or_waits_for_approval(live: Live) -> None:
    live.dag("syncs", "steps:\n  - echo hi\n")
    live.dag("asks", ASKS)

    ended = live.post("/dags/syncs/start-sync", {"dagRunId": "r", "timeout": 86_400})
    waits = live.post("/dags/asks/start-sync", {"timeout": 86_400})

    assert ended == {"dagRun": live.run("syncs", "r")}
    assert ended["dagRun"]["statusLabel"] == "succeeded"
    assert waits["dagRun"]["statusLabel"] == "waiting"


def test_start_sync_leaves_the_run_alone_after_the_timeout(live: Live) -> None:
    live.dag("naps", NAPS)

    late = live.post("/dags/naps/start-sync", {"dagRunId": "r", "timeout": 1}, status=408)

    assert (late["code"], late["dagRunId"]) == ("timeout", "r")
    assert live.run("naps", "r")["statusLabel"] == "running"


def test_start_sync_ends_without_the_run_when_the_gateway_stops(live: Live) -> None:
    live.dag("outlives", NAPS)
    live.deps.closing.set()
    try:
        early = live.post("/dags/outlives/start-sync", {"dagRunId": "r", "timeout": 86_400}, status=408)
    finally:
        live.deps.closing.clear()

    assert early["message"] == "The run r has not ended yet; it continues"


@pytest.mark.parametrize("body", [{}, {"timeout": 0}, {"timeout": 86_401}, {"timeout": "60"}])
def test_start_sync_needs_a_timeout_of_a_day_at_most(live: Live, body: dict[str, object]) -> None:
    refused = live.post("/dags/syncs/start-sync", body, status=400)

    assert refused["message"].startswith("timeout: ")


def test_start_sync_starts_nothing_if_too_many_requests_wait(live: Live) -> None:
    live.dag("crowded", "steps:\n  - echo hi\n")
    with _no_place(live) as crowded:
        refused = crowded.post("/dags/crowded/start-sync", {"timeout": 60}, status=503)

    assert "nothing was started" in refused["message"]
    assert live.get("/dag-runs/crowded")["dagRuns"] == []


def test_a_start_does_not_wait_if_too_many_requests_wait(live: Live) -> None:
    live.dag("unwatched", "steps:\n  - echo hi\n")
    with _no_place(live) as crowded:
        started = crowded.post("/dags/unwatched/start?wait=60s", {"dagRunId": "r"})

    assert started == {"dagRunId": "r", "finished": False}
    eventually(lambda: live.run("unwatched", "r")["statusLabel"] == "succeeded")


@contextmanager
def _no_place(live: Live) -> Iterator[Live]:
    """A gateway whose only place for requests that wait is taken."""
    deps = copy.copy(live.deps)
    object.__setattr__(deps, "followers", Followers(live.deps.transport, limit=1))
    with closing(deps.followers.add()):
        yield Live(deps, live.reads)


def _followers(live: Live) -> Followers:
    """Return a follower that never polls, and that listens to notifications already."""
    made = Followers(live.deps.transport, limit=1, poll_s=3600)
    made.add().close()
    # The first watch waits only a quarter of a second for its thread.
    eventually(lambda: all(each.name != "follower-listen" for each in threading.enumerate()))
    return made


def test_the_end_of_a_run_is_pushed_and_nothing_is_read_before(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.dag("chain", "steps:\n" + "  - 'true'\n" * 6)
    never_polls = _followers(live)
    read: list[RunStatus | None] = []
    read_run = live.reads.run

    def noted(dag_name: str, dag_run_id: str) -> RunRow | None:
        found = read_run(dag_name, dag_run_id)
        read.append(None if found is None else found.status)
        return found

    deps = copy.copy(live.deps)
    object.__setattr__(deps, "followers", never_polls)
    monkeypatch.setattr(live.reads, "run", noted)

    started = Live(deps, live.reads).post("/dags/chain/start?wait=60s", {"dagRunId": "r"})

    assert started["finished"] is True
    assert read == [RunStatus.SUCCEEDED]


def test_a_repeated_start_returns_the_run_that_has_ended_already(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.dag("again", "steps:\n  - 'true'\n")
    never_polls = _followers(live)
    deps = copy.copy(live.deps)
    object.__setattr__(deps, "followers", never_polls)
    client = Live(deps, live.reads)

    again = partial(
        client.post, "/dags/again/start?wait=60s", {"dagRunId": "r"}, headers={"Idempotency-Key": "start-again"}
    )
    first, answered = again(), _phases()["decided_answered count"]
    second = again()

    assert first == second
    assert second["finished"] is True
    assert _phases()["decided_answered count"] == answered, "the time since its end is no phase of the run"


def test_a_finished_run_has_its_whole_logs_also_under_load(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """The logs do not fit into the reports of the ends, and the scheduler falls behind with them."""
    busy = threading.Event()

    def slowly(body: bytes) -> Envelope:
        envelope = decode(body)
        if isinstance(envelope.body, LogChunk):
            busy.wait(0.03)
        return envelope

    monkeypatch.setattr("services.scheduler.loops.intake.decode", slowly)
    monkeypatch.setattr("services.scheduler.loops.intakes._LOGS_WAIT_S", 600.0)
    exits = "handlerOn:\n  exit: {command: seq 1 20000}\n"
    live.dag("long", "steps:\n  - name: s\n    command: seq 1 30000; seq 1 30000 >&2\n" + exits)

    def lines(client: Live, run_id: str) -> tuple[bool, list[int]]:
        finished = client.post("/dags/long/start?wait=60s", {"dagRunId": run_id})["finished"]
        logs = ("s/log?stream=stdout", "s/log?stream=stderr", "onExit/log?stream=stdout")
        return finished, [client.get(f"/dag-runs/long/{run_id}/steps/{log}&tail=1")["totalLines"] for log in logs]

    at_once = 6
    # Not opened in the threads: Flask compiles its routes, and Python before 3.11.8 may fail to do so in two at once.
    clients = [Live(live.deps, live.reads) for _ in range(at_once)]
    with ThreadPoolExecutor(at_once) as threads:
        found = list(threads.map(lines, clients, map(str, range(at_once))))
    assert found == [(True, [30_000, 30_000, 20_000])] * at_once


def test_the_phases_of_a_run_explain_its_time(live: Live) -> None:
    live.dag("phases", "steps:\n" + "  - 'true'\n" * 3)

    # The best of some: on a busy machine, what no phase counts, from a decision to the next dispatch, takes longer.
    assert max(_explained(live, f"r{number}") for number in range(5)) >= 0.5


def _explained(live: Live, run_id: str) -> float:
    """Start a run, and return which part of its time its phases explain."""
    earlier = _phases()

    live.post("/dags/phases/start?wait=60s", {"dagRunId": run_id})

    def all_there() -> dict[str, float]:
        spent = {name: value - earlier.get(name, 0.0) for name, value in _phases().items()}
        # Runs of other tests in this process count too.
        assert all(spent[f"{name} count"] >= count for name, count in EACH_PHASE.items()), spent
        return spent

    spent = eventually(all_there)
    run = live.reads.run("phases", run_id)
    assert run is not None
    assert run.finished_at is not None
    inside = ("created_dispatched", "dispatched_started", "started_ended", "ended_decided")
    return sum(spent[name] for name in inside) / (run.finished_at - run.created_at).total_seconds()


EACH_PHASE = {
    "asked_accepted": 1,
    "accepted_created": 1,
    "created_dispatched": 1,
    "dispatched_started": 3,
    "started_ended": 3,
    "ended_decided": 3,
    "decided_answered": 1,
}
"""How often a run of three steps in a chain, whose start waits for its end, makes each phase."""


def _phases() -> dict[str, float]:
    """Return the seconds of each phase so far, and under ``<phase> count`` how many there were."""
    found = {}
    for metric in REGISTRY.collect():
        if metric.name in {"dagway_run_phase_seconds", "dagway_gateway_run_phase_seconds"}:
            for sample in metric.samples:
                if sample.name.endswith(("_sum", "_count")):
                    found[sample.labels["phase"] + (" count" if sample.name.endswith("_count") else "")] = sample.value
    return found
