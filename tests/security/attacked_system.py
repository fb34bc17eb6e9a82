"""A running system, an intruder at its broker, and the forgeries that the intruder tries."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.clock import utc_now
from shared.contracts.audit import AuditEntry
from shared.contracts.base import Message
from shared.contracts.codec import encode
from shared.contracts.commands import Command
from shared.contracts.control import CHANGES, RunsChanged
from shared.contracts.events import Event, Heartbeat, LogChunk
from shared.contracts.markers import Marker
from shared.contracts.signing import Keyring, Purpose, SignatureScope
from shared.contracts.signing_keys import SharedKey, report_keys
from shared.contracts.tasks import Task
from shared.errors import Refusal
from shared.store import tables as t
from shared.transport.base import (
    AUDIT,
    COMMANDS,
    EVENT_SHARDS,
    EVENTS,
    HEARTBEATS,
    LOGS,
    BrokerQueue,
    Outgoing,
    task_queue,
    worker_queue,
)
from shared.transport.open import open_transport
from shared.transport.signature_scopes import queue_scope
from tests.harness.client import ask_probe
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually
from tests.harness.signing import POOL_KEYS, signed_as

__all__ = ["AttackedSystem", "Recorder", "Refusals", "forgeries", "kind_of", "queues_of", "topics_of"]

Refusals = Counter[tuple[str, str]]
"""How many messages were refused, by kind of queue and reason."""
_REFUSED = re.compile(r'^dagway_messages_refused_total\{queue_kind="(\w+)",reason="(\w+)"\} (\d+)', re.MULTILINE)
(_STOLEN,) = report_keys(POOL_KEYS["default"])
"""The key that an intruder finds on a worker."""


class AttackedSystem:
    """A running system with one gateway, scheduler and worker; a victim; and an intruder at the broker."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.client, self.folder = cluster, cluster.client, folder
        self.intruder = open_transport(cluster.amqp_url, name="intruder")
        eventually(lambda: self.intruder.healthy)

    def close(self) -> None:
        self.intruder.close()

    def hold(self, dag: str) -> dict[str, Any]:
        """Start a run whose step waits for a file, and return the row of its node."""
        self.client.create(
            dag, f"steps:\n  - name: s\n    command: until test -e {self.folder}/{dag}; do sleep 0.1; done\n"
        )
        self.client.start(dag)
        self.client.until_step("running", dag, "r1", "s")
        (run,) = self.cluster.rows(t.dag_runs, dag_name=dag)
        (node,) = (row for row in self.cluster.rows(t.nodes, run_key=run["run_key"]) if row["name"] == "s")
        return node

    def release(self, dag: str) -> None:
        """Let a held run end, and check that it succeeds."""
        (self.folder / dag).touch()
        self.client.until("succeeded", dag)

    def refusals(self) -> Refusals:
        """Return how many messages all processes have refused, by queue and reason."""
        found: Refusals = Counter()
        for process in self.cluster.processes:
            _, text = ask_probe(f"http://127.0.0.1:{process.env['DAGWAY_METRICS_PORT']}/metrics")
            for queue, why, count in _REFUSED.findall(text):
                found[queue, why] += int(count)
        return +found

    def until_refused(self, expected: Refusals, before: Refusals) -> None:
        """Wait until exactly these messages were refused since ``before``."""

        def counted() -> None:
            assert self.refusals() - before == expected

        eventually(counted, every_s=0.1)

    def dead_letters(self) -> dict[str, str]:
        """Return the reason of each dead letter, by message id."""
        return {letter.id: letter.reason for letter in self.intruder.dead_letters(10_000)}

    def send(self, queue: BrokerQueue, body: bytes, message_id: str) -> None:
        """Send these bytes as the intruder."""
        self.intruder.send(Outgoing(queue, body, message_id)).result(60)


class Recorder:
    """Sends signed messages as a service, and sends the same bytes again."""

    def __init__(self, system: AttackedSystem, service: str) -> None:
        self._sent: list[Outgoing] = []
        self._intruder = system.intruder
        self._signed = signed_as(service, system.intruder)

    def send(self, queue: BrokerQueue, message: Message, message_id: str) -> None:
        body = encode(message, id=message_id, at=utc_now())
        sent = Outgoing(queue, self._signed.sign(queue_scope(queue, message_id), body), message_id)
        self._intruder.send(sent).result(60)
        self._sent.append(sent)

    def replay(self, *, times: int) -> None:
        for message in self._sent * times:
            self._intruder.send(message).result(60)


def queues_of(message: type[Message]) -> list[BrokerQueue]:
    """Return the broker queues on which messages of this type travel."""
    if issubclass(message, Command):
        return [COMMANDS]
    if issubclass(message, Task):
        return [task_queue({}), worker_queue("w1")]
    if issubclass(message, Event):
        return [EVENTS, EVENT_SHARDS[0]]
    others: dict[type[Message], list[BrokerQueue]] = {
        LogChunk: [LOGS],
        Heartbeat: [HEARTBEATS],
        Marker: [EVENTS, EVENT_SHARDS[0], HEARTBEATS],
        AuditEntry: [AUDIT],
    }
    return others.get(message, [])


def topics_of(message: type[Message]) -> list[str]:
    """Return the topics on which messages of this type are broadcast."""
    if message is RunsChanged:
        return [CHANGES]
    return ["workers", "worker.w1"] if message.type.startswith("control.") else []


def forgeries(scope: SignatureScope, body: bytes) -> Iterator[tuple[Refusal, bytes]]:
    """Yield every kind of forgery of a message, with the reason for which it is refused."""

    def signed(key: SharedKey, purpose: Purpose = scope.purpose, age: timedelta = timedelta(0)) -> bytes:
        return Keyring({purpose: key}, {}).sign(SignatureScope(purpose, scope.place), body, utc_now() - age)

    yield Refusal.UNSIGNED, body
    if scope.purpose in (Purpose.REPORT, Purpose.HEARTBEAT):
        yield Refusal.BAD_SIGNATURE, signed(SharedKey(_STOLEN.id, b"guess" * 8))
        yield Refusal.WRONG_PURPOSE, signed(_STOLEN, Purpose.TASK)
        yield Refusal.UNKNOWN_KEY, signed(SharedKey("other/1", b"guess" * 8))
        return
    yield Refusal.UNKNOWN_KEY, signed(_STOLEN)
    yield Refusal.BAD_SIGNATURE, signed(SharedKey("1", _STOLEN.secret))
    yield Refusal.WRONG_PURPOSE, signed(_STOLEN, Purpose.REPORT)


def kind_of(queue: str) -> str:
    """Return the name that metrics give to a broker queue."""
    return "tasks" if queue.startswith(("dagway.tasks.", "dagway.worker.")) else queue.split(".")[1]
