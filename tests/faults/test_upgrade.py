"""An upgrade under load: the last release on its own schema, both versions side by side, then only this one."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

import pytest

from scripts.release import project_version
from shared.store import tables as t
from shared.store.migrate import current
from tests.golden.code import unpack_code
from tests.harness.client import Answer, ask_probe
from tests.harness.cluster import Cluster, Embedded, give_roles, running
from tests.harness.counterparts import MailCounterpart
from tests.harness.eventually import eventually
from tests.harness.invariants import at_rest, violations
from tests.harness.procs import DagwayProcess, refused
from tests.harness.servers import PostgresServer, RabbitServer

LEASE_S = 5.0
EACH = 6
"""How many runs start and end in each state of the upgrade, at least."""
BELOW = "steps:\n  - name: below\n    command: echo below >> {folder}/$PARENT\nparams: [PARENT: none]\n"
SPEC = """
smtp: {{host: 127.0.0.1, port: {port}}}
mailOn: {{success: true}}
infoMail: {{from: dag@x.org, to: ops@x.org}}
steps:
  - name: first
    command: echo first >> {folder}/$DAG_RUN_ID
  - name: slow
    command: echo slow >> {folder}/$DAG_RUN_ID; sleep 0.2
  - name: call
    run: below
    params: PARENT=$DAG_RUN_ID
"""
STEPS = Counter(["first", "slow", "below"])


class FromRelease(Cluster):
    """A system on the schema of the last release, with a gateway, a scheduler and a worker of it, and of this version.

    ``theirs`` are the processes of the release and ``ours`` those of this version; none is started yet.
    """

    def __init__(self, folder: Path, rabbit: RabbitServer, postgres: PostgresServer) -> None:
        self._path = str(unpack_code(folder / "released"))
        (found,) = distributions(name="dagway", path=[self._path])
        self.released = found.version
        super().__init__(folder, rabbit, postgres, gateways=2, schedulers=2, workers=2, lease_s=LEASE_S)
        self.theirs, self.ours = ([kind[n] for kind in (self.schedulers, self.gateways, self.workers)] for n in (0, 1))
        for process in self.theirs:
            process.env["PYTHONPATH"] = self._path

    def _migrate(self) -> None:
        self.migrate(PYTHONPATH=self._path)
        give_roles(self.postgres, self.urls)

    def migrate(self, **env: str) -> None:
        """Run ``dagway migrate``, of this version if ``env`` does not say otherwise."""
        settings = {"DAGWAY_DATABASE_URL": self.urls["owner"], **env}
        with DagwayProcess("migrate", folder=self.folder / "migration", env=settings) as process:
            assert process.wait_exit() == 0, process.output()

    def versions(self) -> dict[str, list[str]]:
        """Return the versions of the live schedulers and workers, as a gateway lists them."""
        schedulers = self.client.insist("GET", "/services/scheduler").json["schedulers"]
        workers = self.client.insist("GET", "/workers").json["workers"]
        live = [worker["version"] for worker in workers if worker["state"] == "live"]
        return {"schedulers": sorted(each["version"] for each in schedulers), "workers": sorted(live)}


@dataclass
class Load:
    """Starts a run every 0.4 s and reads the one before, until ``over``. Repeats only what answered 503."""

    system: Cluster
    over: threading.Event = field(default_factory=threading.Event)
    started: list[str] = field(default_factory=list)
    failed: list[Answer] = field(default_factory=list)
    reads: int = 0

    def run(self) -> None:
        while not self.over.wait(0.4):
            run_id = f"r{len(self.started)}"
            while not self._ok(self._ask("POST", "/dags/load/start", {"dagRunId": run_id}, run_id), 200, 202):
                self.over.wait(0.1)
            self.started.append(run_id)
            if len(self.started) > 1:
                self._ok(self._ask("GET", f"/dag-runs/load/{self.started[-2]}"), 200)
                self.reads += 1

    def _ask(self, method: str, path: str, body: object = None, key: str = "") -> Answer:
        # Like a load balancer, it asks the other gateway if one closes the connection.
        return self.system.client.ask(method, path, body, key=key)

    def _ok(self, answer: Answer, *wanted: int) -> bool:
        if answer.status == 503 and "Retry-After" in answer.headers:
            return False
        if answer.status not in wanted:
            self.failed.append(answer)
        return True


@contextmanager
def loaded(system: Cluster) -> Iterator[Load]:
    load = Load(system)
    thread = threading.Thread(target=load.run, name="load")
    thread.start()
    try:
        yield load
    finally:
        load.over.set()
        thread.join()


def tasks_sent(scheduler: DagwayProcess) -> float:
    status, text = ask_probe(f"http://127.0.0.1:{scheduler.env['DAGWAY_METRICS_PORT']}/metrics")
    assert status == 200
    (sent,) = re.findall(r"^dagway_tasks_sent_total (\S+)$", text, re.MULTILINE)
    return float(sent)


def at_work(system: FromRelease, load: Load, schedulers: int, *workers: str) -> None:
    """Wait for new runs until each of these schedulers has sent tasks, and each of these workers has begun one."""
    chosen = [each for each in system.schedulers if each.running]
    before, sent = len(load.started), [tasks_sent(each) for each in chosen]
    known = {row["token"] for row in system.rows(t.executions)}
    assert len(chosen) == schedulers

    def shared() -> None:
        assert not load.failed
        begun = {row["worker_id"] for row in system.rows(t.executions) if row["token"] not in known}
        # The last reports of a worker that has just ended may be recorded now.
        assert begun >= set(workers)
        assert all(tasks_sent(each) > was for each, was in zip(chosen, sent, strict=True))
        assert len(load.started) >= before + EACH

    eventually(shared, every_s=0.2)


@pytest.fixture
def system(servers: tuple[RabbitServer, PostgresServer], tmp_path: Path) -> Iterator[FromRelease]:
    with closing(FromRelease(tmp_path / "system", *running(*servers))) as prepared:
        yield prepared


@pytest.fixture
def mail_server() -> Iterator[MailCounterpart]:
    with MailCounterpart(None) as server:
        yield server


def test_an_upgrade_from_the_last_release_fails_no_request_and_loses_or_doubles_no_step(
    system: FromRelease, mail_server: MailCounterpart, tmp_path: Path
) -> None:
    ours, theirs = project_version(), system.released
    assert theirs != ours
    system.start(*system.theirs)
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    system.client.create("below", BELOW.format(folder=ledger))
    system.client.create("load", SPEC.format(folder=ledger, port=mail_server.port))

    with loaded(system) as load:
        at_work(system, load, 1, "w1")
        system.migrate()
        system.start(*system.ours)
        eventually(
            lambda: system.versions() == {"schedulers": sorted([ours, theirs]), "workers": sorted([ours, theirs])}
        )
        at_work(system, load, 2, "w1", "w2")
        assert [process.terminate() for process in system.theirs] == [0, 0, 0]
        at_work(system, load, 1, "w2")

    assert load.failed == []
    assert load.reads > 2 * EACH
    eventually(lambda: at_rest(system.engine))
    ended = {row["dag_run_id"]: row["status"] for row in system.rows(t.dag_runs, dag_name="load")}
    assert ended == dict.fromkeys(load.started, "succeeded")
    written = {file.name: Counter(file.read_text().split()) for file in ledger.iterdir()}
    assert written == dict.fromkeys(load.started, STEPS)
    assert violations(system.engine, commands=load.started) == []
    sent = [mail_server.mails.get_nowait()[1]["Message-ID"] for _ in range(mail_server.mails.qsize())]
    assert sorted(sent) == sorted(
        f"<{row['run_key']}.1.end@dagway.invalid>" for row in system.rows(t.dag_runs, dag_name="load")
    )


def test_a_newer_program_leaves_the_database_of_a_running_older_one_alone(tmp_path: Path) -> None:
    """Somebody who tries a new version while the old one runs can still start the old one again."""
    path = {"PYTHONPATH": str(unpack_code(tmp_path / "released"))}
    with Embedded(tmp_path / "theirs", env=path) as theirs:
        revision = current(theirs.store_url)
        said = refused(tmp_path / "ours", "up", "--data-dir", str(theirs.data_dir), "--port", "0")

        assert "another dagway uses this folder" in said
        assert current(theirs.store_url) == revision
        assert theirs.stop() == [0]
        theirs.start()
