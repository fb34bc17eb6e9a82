"""The embedded transport's journal after a SIGKILL: accepted messages are delivered again, marked as redelivered."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import BrokerUnavailable, ConfigInvalid
from shared.transport.base import COMMANDS, DELIVERY_LIMIT, EVENTS, HEARTBEATS, LOGS, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport
from shared.transport.open import open_transport
from tests.harness.eventually import PATIENCE_S

_CHILD = """
import sys
from pathlib import Path
from shared.transport.base import COMMANDS, EVENTS, HEARTBEATS, LOGS, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport

transport = EmbeddedTransport(Path(sys.argv[1]))
consumer = transport.consume([COMMANDS, EVENTS, HEARTBEATS, LOGS], prefetch=1)
for future in [transport.send(Outgoing((EVENTS, LOGS)[n % 2], str(n).encode(), str(n))) for n in range(100)]:
    future.result()
transport.send(Outgoing(HEARTBEATS, b"beat", "beat")).result()
delivered = consumer.take(1, 60)[0]
print("accepted", flush=True)
sys.stdin.read()
"""


def killed_after_accepting(journal: Path) -> None:
    argv = [sys.executable, "-c", _CHILD, str(journal)]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert child.stdout is not None
    assert child.stdout.readline() == b"accepted\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()


def test_what_was_accepted_survives_a_kill_and_is_marked_redelivered(tmp_path: Path) -> None:
    killed_after_accepting(tmp_path / "journal")

    transport = EmbeddedTransport(tmp_path / "journal")
    consumer = transport.consume([COMMANDS, EVENTS, HEARTBEATS, LOGS], prefetch=1000)
    back = consumer.take(1000, 1)

    assert sorted(int(delivery.body) for delivery in back) == list(range(100))
    assert all(delivery.redelivered for delivery in back)
    transport.close()


def test_an_orderly_end_marks_only_what_was_delivered(tmp_path: Path) -> None:
    first = EmbeddedTransport(tmp_path / "journal")
    consumer = first.consume([EVENTS], prefetch=1)
    for body in (b"1", b"2"):
        first.send(Outgoing(EVENTS, body, "id")).result(PATIENCE_S)
    consumer.take(1, 60)
    first.close()

    second = EmbeddedTransport(tmp_path / "journal")
    back = second.consume([EVENTS], prefetch=10).take(10, 5)

    assert [(delivery.body, delivery.redelivered) for delivery in back] == [(b"1", True), (b"2", False)]
    second.close()


def test_a_message_that_kills_each_time_it_is_delivered_ends_as_a_dead_letter(tmp_path: Path) -> None:
    transport = EmbeddedTransport(tmp_path / "journal")
    consumer = transport.consume([EVENTS], prefetch=1)
    transport.send(Outgoing(EVENTS, b"poison", "id")).result(PATIENCE_S)
    for _ in range(DELIVERY_LIMIT):
        consumer.take(1, 60)[0].retry()
    assert len(consumer.take(1, 60)) == 1
    transport.close()

    again = EmbeddedTransport(tmp_path / "journal")

    assert [letter.body for letter in again.dead_letters(10)] == [b"poison"]
    assert again.consume([EVENTS], prefetch=1).take(1, 0) == []
    again.close()


def test_a_journal_in_use_is_refused(tmp_path: Path) -> None:
    first = EmbeddedTransport(tmp_path / "journal")

    with pytest.raises(BrokerUnavailable, match="another dagway uses this folder"):
        EmbeddedTransport(tmp_path / "journal")

    first.close()


@pytest.mark.parametrize("url", ["", "http://localhost", "amqp://host:notaport/"])
def test_a_url_that_means_nothing_is_refused(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        open_transport(url, name="x")


def test_an_embedded_url_may_name_its_journal(tmp_path: Path) -> None:
    transport = open_transport(f"embedded:{tmp_path}/own.sqlite3", name="x")

    assert (tmp_path / "own.sqlite3").exists()
    transport.close()
