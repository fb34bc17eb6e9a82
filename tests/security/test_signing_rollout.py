"""Signing is introduced and keys are replaced while requests come in: no request fails and no run is lost."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from shared.store import tables as t
from shared.transport.base import HEARTBEATS
from tests.harness.client import ask_probe
from tests.harness.cluster import Cluster, running
from tests.harness.eventually import eventually
from tests.harness.needs import need
from tests.harness.procs import DagwayProcess
from tests.harness.signing import public_halves

_SHARED = {"old": "o" * 48, "new": "n" * 48}
_SEEDS = {"old": "0a" * 32, "new": "0b" * 32}
STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("off", ()),
    ("accept-unsigned", ("old", "new")),
    ("on", ("new", "old")),
    ("on", ("new",)),
)
"""The settings of each stage: signing, and the keys, of which the first signs."""
_PAUSE_S = 0.2
"""Between two runs. Each stage lasts some seconds."""
_COUNTED = re.compile(r"^dagway_messages_(?:unsigned|refused)_total\{.*\} [1-9]\d*", re.MULTILINE)


def _settings(service: str, signing: str, keys: tuple[str, ...]) -> dict[str, str]:
    shared = ",".join(f"{key}={_SHARED[key]}" for key in keys)
    reports = ",".join(f"default/{key}={_SHARED[key][::-1]}" for key in keys)
    tasks = ",".join(f"{key}={_SEEDS[key]}" for key in keys)
    settings = {"DAGWAY_MESSAGE_SIGNING": signing, "DAGWAY_COMMAND_KEYS": "", "DAGWAY_REPORT_KEYS": ""}
    if service != "worker":
        settings["DAGWAY_COMMAND_KEYS"] = shared
    if service != "api":
        settings["DAGWAY_REPORT_KEYS"] = reports
    settings["DAGWAY_TASK_KEYS"] = tasks if service == "scheduler" else ""
    settings["DAGWAY_TASK_PUBLIC_KEYS"] = public_halves(tasks) if service == "worker" and keys else ""
    return settings


def _set(stage: int, *processes: DagwayProcess) -> None:
    for process in processes:
        process.env |= _settings(process.args[0], *STAGES[stage])


class _Load:
    """Starts a run, waits for its end and soon starts the next one, until the end of the ``with`` block."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.statuses: list[int] = []

    def _run(self) -> None:
        while not self._over.wait(_PAUSE_S):
            number = len(self.statuses)
            body = {"dagRunId": f"r{number}"}
            answer = self._cluster.client.ask("POST", "/dags/small/start", body, key=f"start-{number}")
            self.statuses.append(answer.status)
            self._cluster.client.until("succeeded", "small", f"r{number}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    need("rabbitmq")
    need("postgres")
    servers = running(request.getfixturevalue("_rabbit"), request.getfixturevalue("_postgres"))
    cluster = Cluster(tmp_path, *servers, gateways=2)
    _set(0, *cluster.processes)
    with cluster:
        yield cluster


@pytest.mark.timeout(600)
def test_signing_and_new_keys_are_rolled_out_without_a_failed_request(cluster: Cluster) -> None:
    cluster.client.create("small", "steps:\n  - 'true'\n")
    counted: list[str] = []

    with _Load(cluster) as load:
        for stage in range(1, len(STAGES)):
            # One after the other, so that both stages are at work at the same time.
            for process in cluster.processes:
                if process not in cluster.gateways:
                    counted += _counted(process)
                process.terminate()
                _set(stage, process)
                cluster.start(process)
            # The stages follow each other faster than an operator's. The next one may refuse what waits for so long.
            eventually(lambda: cluster.rabbit.held(cluster.amqp_url, HEARTBEATS.name) == 0)

    for process in (*cluster.schedulers, *cluster.workers):
        counted += _counted(process)
    assert set(load.statuses) <= {200, 202}, load.statuses
    assert len(load.statuses) > 10
    runs = cluster.rows(t.dag_runs, dag_name="small")
    assert [run["status"] for run in runs] == ["succeeded"] * len(load.statuses)
    assert any("unsigned" in line for line in counted)
    assert [line for line in counted if "refused" in line] == []


def _counted(process: DagwayProcess) -> list[str]:
    """Return the counters of a process that are not 0, with the process's name."""
    _, text = ask_probe(f"http://127.0.0.1:{process.env['DAGWAY_METRICS_PORT']}/metrics")
    return [f"{process.args}: {line}" for line in _COUNTED.findall(text)]
