"""A full disk below the data folder: it is reported, work waits, no data is lost. Needs the right to mount a disk."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from shared.errors import BrokerUnavailable
from shared.transport.base import EVENTS, LOGS, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport
from tests.faults.conftest import LEASE_S
from tests.harness.client import ask_probe
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import OWN_PROGRAM
from tests.harness.small_disk import SmallDisk
from tests.harness.worker_rig import Rig, command, task

_WHY = "the data folder cannot be written: No space left on device"
HELD = "touch {0}/{1}; while [ ! -e {0}/go-{1} ]; do sleep 0.02; done"


class Cut(EmbeddedTransport):
    """A transport that refuses reports while ``cut`` is set."""

    cut = False

    def send(self, message: Outgoing) -> "Future[None]":
        if not (self.cut and message.queue in (EVENTS, LOGS)):
            return super().send(message)
        refused: Future[None] = Future()
        refused.set_exception(BrokerUnavailable("the link is cut"))
        return refused

    @property
    def healthy(self) -> bool:
        return not self.cut and super().healthy


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    with SmallDisk(folder, 16) as small:
        if not small.mount():
            pytest.skip("a small disk cannot be mounted here (only root may)")
        yield small


def test_dagway_up_reports_a_full_disk_loses_nothing_and_recovers_by_itself(disk: SmallDisk, tmp_path: Path) -> None:
    door = free_port()
    env = {"DAGWAY_DATA_DIR": str(disk.folder), "DAGWAY_METRICS_PORT": str(door)}
    with Embedded(tmp_path / "up", lease_s=LEASE_S, env=env) as system:
        client = system.client
        client.create("held", f"steps:\n  - command: {HELD.format(tmp_path, 'held')}\n  - command: 'true'\n")
        client.create("other", "steps:\n  - command: 'true'\n")
        client.start("held")
        eventually((tmp_path / "held").exists)
        disk.fill()

        for url in (f"{client.base.removesuffix('/api/v2')}/readyz", f"http://127.0.0.1:{door}/readyz"):
            eventually(lambda url=url: _WHY in ask_probe(url)[1])  # type: ignore[misc]
            assert ask_probe(url)[0] == 503
        assert client.ask("POST", "/dags/other/start", {"dagRunId": "r1"}).status == 503
        (tmp_path / "go-held").touch()
        eventually(lambda: "report.waits" in system.process.output())

        disk.empty()
        client.until("succeeded", "held")
        assert client.steps("held") == {"cmd_1": "succeeded", "cmd_2": "succeeded"}
        eventually(lambda: ask_probe(f"http://127.0.0.1:{door}/readyz") == (200, "ok\n"))
        # Whether r1 was accepted is unknown: a scheduler may have had it while the journal was written.
        client.start("other", "r2")
        client.until("succeeded", "other", "r2")


def test_dagway_up_works_and_stops_in_order_while_nothing_can_be_written_to_its_log(tmp_path: Path) -> None:
    program = tmp_path / "dagway"
    program.write_text(f'#!/bin/sh\nexec {OWN_PROGRAM} "$@" > /dev/full 2>&1\n')
    program.chmod(0o755)
    with Embedded(tmp_path / "up", lease_s=LEASE_S, program=program) as system:
        system.client.create("one", "steps:\n  - command: 'true'\n")
        system.client.start("one")
        system.client.until("succeeded", "one")
        assert system.process.terminate() == 0


def test_a_worker_takes_no_task_until_there_is_room(disk: SmallDisk, tmp_path: Path) -> None:
    with Rig(disk.folder) as rig:
        disk.fill()
        rig.give(task(command(f"touch {tmp_path}/ran"), token="t"))
        eventually(lambda: rig.worker.counters.values.get("handed_back") == 1)
        assert rig.worker.facts().trouble == _WHY

        disk.empty()

        assert rig.finished("t").outcome == "succeeded"
        assert (tmp_path / "ran").exists()
        assert rig.worker.facts().trouble == ""
        assert rig.worker.counters.values["handed_back"] == 1


@pytest.mark.parametrize("first_back", ["disk", "broker"])
def test_a_report_for_which_neither_broker_nor_disk_has_room_is_held(
    disk: SmallDisk, tmp_path: Path, caplog: pytest.LogCaptureFixture, first_back: str
) -> None:
    size = 300_000
    transport = Cut(None)
    with Rig(disk.folder, transport=transport) as rig:
        first, last = HELD.format(tmp_path, "first"), HELD.format(tmp_path, "last")
        rig.give(task(command(f"{first}; head -c {size} /dev/zero; {last}"), token="t"))
        eventually((tmp_path / "first").exists)
        transport.cut = True
        (tmp_path / "go-first").touch()
        eventually((tmp_path / "last").exists)
        disk.fill()
        (tmp_path / "go-last").touch()
        eventually(lambda: "report.waits" in [record.message for record in caplog.records])
        assert rig.worker.attempts.tokens() == ("t",)

        if first_back == "disk":
            disk.empty()
            eventually(lambda: rig.worker.facts().spooled == 1)
        transport.cut = False

        finished = rig.finished("t")
        assert (finished.outcome, rig.log(finished, "stdout")) == ("succeeded", bytes(size))
        eventually(lambda: rig.worker.attempts.tokens() == ())


def test_a_worker_that_stops_while_its_disk_is_full_keeps_the_reports_for_its_next_start(
    disk: SmallDisk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    transport = Cut(None)
    with Rig(disk.folder, transport=transport) as rig:
        rig.give(task(command(f"echo said; {HELD.format(tmp_path, 'held')}"), token="t"))
        eventually((tmp_path / "held").exists)
        transport.cut = True
        disk.fill()
        (tmp_path / "go-held").touch()
        eventually(lambda: "report.waits" in [record.message for record in caplog.records])
        rig.worker.stop(drain_s=0)
        assert "worker.left_attempts" not in [record.message for record in caplog.records]

    with Rig(disk.folder) as rig:  # while the disk is still full
        finished = rig.finished("t")
        assert (finished.outcome, rig.log(finished, "stdout")) == ("succeeded", b"said\n")


_ENDLESS = 'yes "$(printf %099d 0)"'
_CUT = "its output was cut, because less than 3 MiB was free on the worker's disk: print less, or free disk space"


def test_a_step_that_prints_without_end_fails_before_the_database_needs_its_room(tmp_path: Path) -> None:
    with SmallDisk(tmp_path, 48) as disk:
        if not disk.mount():
            pytest.skip("a small disk cannot be mounted here (only root may)")
        with Embedded(tmp_path / "up", lease_s=LEASE_S, env={"DAGWAY_DATA_DIR": str(tmp_path / "data")}) as system:
            client = system.client
            step = f"steps:\n  - name: s\n    command: {_ENDLESS}\n    continueOn: failed\n  - command: 'true'\n"
            client.create("endless", step)
            for run in ("r1", "r2"):  # the second has only the room that the first has left
                client.start("endless", run)
                client.until("partially_succeeded", "endless", run)
                assert client.steps("endless", run) == {"s": "failed", "cmd_2": "succeeded"}
                assert _CUT in client.run("endless", run)["nodes"][0]["error"]
                assert (
                    client.text("endless", run, "s", "?tail=1").strip()
                    == "[log cut: less than 3 MiB was free on the worker's disk]"
                )
            assert ask_probe(f"{client.base.removesuffix('/api/v2')}/readyz")[0] == 200
            assert "Traceback" not in system.process.output()


@pytest.mark.parametrize("number", [1, 2])
def test_a_step_whose_output_fills_the_disk_at_once_leaves_room_for_the_others(
    disk: SmallDisk, tmp_path: Path, number: int
) -> None:
    """Without a pause: the disk is full before the worker looks. The secret makes it write a masked copy at the end."""
    with Rig(disk.folder) as rig:
        secret = {"secrets": [{"name": "KEY", "provider": "env", "key": "PATH"}]}
        small = command(f"touch {tmp_path}/small; {HELD.format(tmp_path, 'small')}")
        rig.give(task(small, token="small", dag_run_id="small"))  # another run has other files, whatever its number
        eventually((tmp_path / "small").exists)
        rig.give(task(command("head -c 30000000 /dev/zero"), token="t", number=number, **secret))
        finished = rig.finished("t")
        assert finished.outcome == "failed"
        assert "its output was cut, because less than 1 MiB was free on the worker's disk" in finished.error
        kept = rig.log(finished, "stdout")
        assert kept.startswith(bytes(60_000))
        assert kept.endswith(b"\n[log cut: less than 1 MiB was free on the worker's disk]\n")
        assert rig.worker.facts().trouble == ""

        (tmp_path / "go-small").touch()
        assert rig.finished("small").outcome == "succeeded"
        rig.give(task(command("echo next"), token="next"))
        assert rig.finished("next").outcome == "succeeded"
