"""The spool of reports: at the start of a worker, and for a report that the broker does not take."""

import errno
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services.worker.reporting import spool_file
from services.worker.reporting.reports import Reporter
from services.worker.reporting.spool_file import SpoolFile
from shared.clock import utc_now
from shared.contracts.events import AttemptGivenUp
from shared.tracing import SpanContext, within
from shared.transport.base import EVENTS, LOGS, BrokerQueue, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import PATIENCE_S, eventually


@pytest.fixture
def transport() -> Iterator[EmbeddedTransport]:
    with closing(EmbeddedTransport(None)) as opened:
        yield opened


def test_the_attempts_in_the_spool_are_known_before_it_is_sent(transport: EmbeddedTransport, tmp_path: Path) -> None:
    (tmp_path / "run:1:0.json").write_text("{}")
    (tmp_path / "run:1:1.bad").write_text("{}")
    (tmp_path / "run:1:2.part").write_text("{}")

    assert Reporter(transport, tmp_path, lambda _token: None).spooled_tokens() == ["run:1:0"]
    assert Reporter(transport, tmp_path / "none", lambda _token: None).spooled_tokens() == []


def test_a_report_that_a_crash_left_half_written_is_removed(transport: EmbeddedTransport, tmp_path: Path) -> None:
    (tmp_path / "token.part").write_text("{")
    reporter = Reporter(transport, tmp_path, lambda _token: None)
    reporter.start()
    reporter.stop()

    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_removed_of_a_crash_does_not_keep_a_worker_from_its_start(
    transport: EmbeddedTransport, tmp_path: Path
) -> None:
    (tmp_path / "token.part").mkdir()
    reporter = Reporter(transport, tmp_path, lambda _token: None)
    reporter.start()
    reporter.stop()


def test_the_attempt_of_an_unreadable_report_is_not_claimed_for_ever(
    transport: EmbeddedTransport, tmp_path: Path
) -> None:
    (tmp_path / "token.json").write_text("not a report\n")
    let_go: list[str] = []
    reporter = Reporter(transport, tmp_path, let_go.append)
    reporter.start()

    eventually(lambda: let_go == ["token"])
    reporter.stop()
    assert [path.name for path in tmp_path.iterdir()] == ["token.bad"]


@pytest.mark.parametrize("text", ["7", '{"route": []}', '{"route": "dagway.logs", "body": 7}'])
def test_a_line_that_is_no_report_is_unreadable(transport: EmbeddedTransport, tmp_path: Path, text: str) -> None:
    (tmp_path / "token.json").write_text(f"{text}\n")
    reporter = Reporter(transport, tmp_path, lambda _token: None)
    reporter.start()

    eventually(lambda: [path.name for path in tmp_path.iterdir()] == ["token.bad"])
    reporter.stop()


def test_a_disk_that_fails_is_no_bug_for_which_the_worker_ends(
    transport: EmbeddedTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (tmp_path / "token.json").write_text("not a report\n")
    let_go: list[str] = []
    reporter = Reporter(transport, tmp_path, let_go.append)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        reporter.start()
        eventually(lambda: "spool.failed" in [record.message for record in caplog.records])

    eventually(lambda: let_go == ["token"])
    reporter.stop()


def test_a_report_that_the_broker_does_not_take_holds_up_no_other(transport: EmbeddedTransport, tmp_path: Path) -> None:
    def spool(token: str, queue: BrokerQueue) -> None:
        (tmp_path / f"{token}.json").write_text(json.dumps({"route": queue.name, "id": token, "body": "{}"}) + "\n")

    transport.declare([EVENTS])
    spool("first", LOGS)
    spool("second", EVENTS)
    delivered: list[str] = []
    reporter = Reporter(transport, tmp_path, delivered.append)
    reporter.start()

    eventually(lambda: delivered == ["second"])
    transport.declare([LOGS])
    eventually(lambda: delivered == ["second", "first"])
    reporter.stop()
    assert list(tmp_path.iterdir()) == []


def _last_report() -> AttemptGivenUp:
    return AttemptGivenUp(token="run:1:0", run_key="run", node=0, worker_id="w", incarnation="1", at=utc_now())


def test_the_last_report_is_confirmed_or_else_spooled_with_its_trace(
    transport: EmbeddedTransport, tmp_path: Path
) -> None:
    delivered: list[str] = []
    reporter = Reporter(transport, tmp_path, delivered.append)
    span = SpanContext.named("run")

    with within(span):
        spooled = reporter.finish(_last_report(), EVENTS)
    assert spooled.result(PATIENCE_S) is False
    line = json.loads((tmp_path / "run:1:0.json").read_text())
    assert json.loads(line["body"])["trace"] == str(span)

    transport.declare([EVENTS])
    assert reporter.finish(_last_report(), EVENTS).result(PATIENCE_S) is True
    reporter.start()
    eventually(lambda: delivered == ["run:1:0"])
    reporter.stop()


def test_a_spooled_report_is_on_the_disk_before_it_has_its_name(
    transport: EmbeddedTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(fd: int) -> None:
        fsync(fd)
        done.append("synced the folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "synced the file")

    def renamed(path: Path, target: Path) -> Path:
        done.append("renamed the file")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    reporter = Reporter(transport, tmp_path, lambda _token: None)

    assert reporter.finish(_last_report(), EVENTS).result(PATIENCE_S) is False
    assert done == ["synced the file", "renamed the file", "synced the folder"]


def test_a_last_report_that_no_thread_can_spool_is_an_error(
    transport: EmbeddedTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    reporter = Reporter(transport, tmp_path, lambda _token: None)
    monkeypatch.setattr(threading.Thread, "start", none_left)

    with pytest.raises(RuntimeError, match="new thread"):
        reporter.finish(_last_report(), EVENTS).result(PATIENCE_S)


def test_a_last_report_that_neither_the_broker_nor_the_disk_takes_waits_for_the_first_that_does(
    transport: EmbeddedTransport, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def waits() -> int:
        return [record.message for record in caplog.records].count("report.waits")

    reporter = Reporter(transport, tmp_path / "spool", lambda _token: None)
    first = reporter.finish(_last_report(), EVENTS)
    eventually(lambda: waits() == 1)
    assert not first.done()
    (tmp_path / "spool").mkdir()
    assert first.result(PATIENCE_S) is False

    (tmp_path / "spool").rename(tmp_path / "taken-away")
    second = reporter.finish(_last_report(), EVENTS)
    eventually(lambda: waits() == 2)
    transport.declare([EVENTS])
    assert second.result(PATIENCE_S) is True


def test_a_last_report_that_neither_the_broker_nor_the_disk_takes_is_an_error_when_the_worker_stops(
    transport: EmbeddedTransport, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").write_text("not a folder")
    reporter = Reporter(transport, tmp_path / "spool", lambda _token: None)
    reported = reporter.finish(_last_report(), EVENTS)
    eventually(lambda: "report.waits" in [record.message for record in caplog.records])
    reporter.stop()

    with pytest.raises(NotADirectoryError):
        reported.result(PATIENCE_S)


def test_what_the_disk_has_taken_of_a_report_is_sent_before_the_rest(
    transport: EmbeddedTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport.declare([EVENTS])
    with SpoolFile(tmp_path / "token.json", (Outgoing(EVENTS, b"{}", name) for name in "abc")) as file:
        taken = iter([True, False])

        def write(fd: int, data: bytes) -> None:
            assert os.write(fd, data) == len(data)
            if not next(taken):
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(spool_file, "write_all", write)
        error = file.store()
        assert error is not None
        assert error.errno == errno.EIO
        assert file.send(transport)

    assert [each.message_id for each in transport.consume([EVENTS], prefetch=10).take(10, 0)] == ["a", "b", "c"]
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_cannot_be_listed_is_no_bug_for_which_the_worker_ends(
    transport: EmbeddedTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    died = threading.Event()
    reporter = Reporter(transport, tmp_path, lambda _token: None, died.set)
    reporter.start()
    monkeypatch.setattr(Path, "glob", refuse)
    assert reporter.finish(_last_report(), EVENTS).result(PATIENCE_S) is False

    eventually(lambda: "spool.failed" in [record.message for record in caplog.records])
    reporter.stop()
    assert not died.is_set()
