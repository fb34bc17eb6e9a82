"""The simulated broker: queues, consumers, sessions, and what goes wrong between it and its clients.

It keeps the promises of ``shared.transport.base`` and nothing more: it delays, reorders between connections, delivers
again after a lost connection, and loses whatever was not confirmed.
"""

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.contracts.codec import decode
from shared.contracts.tasks import Task
from shared.errors import BrokerUnavailable, DagwayError, Unroutable
from shared.transport.base import DEAD_LETTERS, DELIVERY_LIMIT, BrokerQueue, DeadLetter, Durability, Outgoing
from shared.transport.pending_reply import PendingReply
from tests.simulation.kernel import Kernel

__all__ = ["Broker", "Message", "Port", "Session"]

_DELAY_S = 0.001
_JITTER = 700.0
_TRANSIENT_TTL_S = 10.0
_DUPLICATED = ("dagway.commands", "dagway.events", "dagway.logs", "dagway.heartbeats", "dagway.audit")
"""What a client may send twice because a confirm was lost. A task is not among them: see the README."""
_DUPLICATE = 0.05
_TASKS = ("dagway.tasks.", "dagway.worker.")


@dataclass(slots=True, eq=False)
class Message:
    """A message at the broker. ``returns``: how often it came back. ``reply``: passes a reply to the sender."""

    seq: int
    id: str
    body: bytes
    returns: int = 0
    reply: Callable[[bytes], None] | None = None
    dies_s: float | None = None


@dataclass(slots=True, eq=False)
class Port:
    """A consumer as the broker sees it, on one queue."""

    session: "Session"
    queue: BrokerQueue
    prefetch: int
    priority: int
    arrive: Callable[["Port", Message], None]
    paused: bool = False
    unsettled: dict[int, Message] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Queue:
    spec: BrokerQueue
    ready: deque[Message] = field(default_factory=deque)
    ports: list[Port] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _TapPort:
    session: "Session"
    name: str
    receive: Callable[[bytes], None]


class Session:
    """One connection of a client. Each direction keeps its order; a direction can be held up for a while."""

    def __init__(self, broker: "Broker", number: int, inbox: Callable[[Callable[[], None]], None]) -> None:
        self.broker, self.number, self.broken = broker, number, False
        self.on_broken: Callable[[], None] = lambda: None
        self.topics: list[tuple[frozenset[str], Callable[[str, bytes], None]]] = []
        self._inbox = inbox
        self._up_s = self._down_s = 0.0
        self.up_stalled_until_s = self.down_stalled_until_s = 0.0

    def up(self, event: Callable[[], None]) -> None:
        """Let ``event`` happen at the broker, unless the connection breaks before."""
        kernel = self.broker.kernel
        self._up_s = max(self._up_s, kernel.now_s + self.broker.delay_s(), self.up_stalled_until_s)
        kernel.at(self._up_s, lambda: None if self.broken else event())

    def up_late(self, event: Callable[[], None], wait_s: float) -> None:
        """Like ``up``, for an acknowledgement, which waits and travels on a connection of its own."""
        kernel = self.broker.kernel
        arrives_s = max(kernel.now_s + wait_s + self.broker.delay_s(), self.down_stalled_until_s)
        kernel.at(arrives_s, lambda: None if self.broken else event())

    def down(self, event: Callable[[], None]) -> None:
        """Let ``event`` happen on the client's own thread, unless the connection breaks before."""
        kernel = self.broker.kernel
        self._down_s = max(self._down_s, kernel.now_s + self.broker.delay_s(), self.down_stalled_until_s)
        kernel.at(self._down_s, lambda: None if self.broken else self._inbox(event))

    def stall(self, seconds: float, *, up: bool, down: bool) -> None:
        """Hold up what is sent from now on."""
        until_s = self.broker.kernel.now_s + seconds
        if up:
            self.up_stalled_until_s = max(self.up_stalled_until_s, until_s)
        if down:
            self.down_stalled_until_s = max(self.down_stalled_until_s, until_s)


class Broker:
    """The broker. ``tokens`` are those of all tasks that it ever accepted."""

    def __init__(self, kernel: Kernel, rng: random.Random) -> None:
        self.kernel, self._rng = kernel, rng
        self.up, self.blocked = True, False
        self.tokens: set[str] = set()
        self.dead: list[DeadLetter] = []
        self.duplicates = True
        self.duplicate = _DUPLICATE
        """How often a message comes a second time, seconds later."""
        self._queues: dict[str, _Queue] = {}
        self._taps: dict[str, list[_TapPort]] = {}
        self._sessions: list[Session] = []
        self._seq = 0
        self._blocked_posts: list[Callable[[], None]] = []

    def delay_s(self) -> float:
        return _DELAY_S + self._rng.expovariate(_JITTER)

    # -- sessions -----------------------------------------------------------------------------------

    def connect(self, inbox: Callable[[Callable[[], None]], None], number: int) -> Session | None:
        """Return a new session, or ``None`` while the broker is down."""
        if not self.up:
            return None
        session = Session(self, number, inbox)
        self._sessions.append(session)
        return session

    def sessions(self) -> list[Session]:
        return list(self._sessions)

    def cut(self, session: Session) -> None:
        """End a session: what it has not settled returns, and the client hears of it a little later."""
        if session.broken:
            return
        session.broken = True
        self._sessions.remove(session)
        for queue in self._queues.values():
            for port in [port for port in queue.ports if port.session is session]:
                self._drop(queue, port)
        for taps in self._taps.values():
            taps[:] = [tap for tap in taps if tap.session is not session]
        self.kernel.after(self.delay_s(), session.on_broken)

    def stop(self) -> None:
        """Crash: all sessions end, and transient messages are gone."""
        self.up = False
        for session in self.sessions():
            self.cut(session)
        for queue in self._queues.values():
            if queue.spec.durability is Durability.TRANSIENT:
                queue.ready.clear()
        self.unblock()

    def start(self) -> None:
        self.up = True

    def block(self) -> None:
        """Raise an alarm: the broker reads from no publisher until ``unblock``."""
        self.blocked = True

    def unblock(self) -> None:
        self.blocked = False
        posts, self._blocked_posts = self._blocked_posts, []
        for post in posts:
            post()

    # -- queues -------------------------------------------------------------------------------------

    def declare(self, queues: Sequence[BrokerQueue]) -> None:
        for queue in queues:
            self._queues.setdefault(queue.name, _Queue(queue))

    def exists(self, name: str) -> bool:
        return name in self._queues or any(tap.name == name for taps in self._taps.values() for tap in taps)

    def waiting(self, name: str) -> int:
        if name == DEAD_LETTERS.name:
            return len(self.dead)
        queue = self._queues.get(name)
        return len(queue.ready) if queue is not None else 0

    def depths(self) -> Mapping[str, int]:
        """Return how many messages wait in each queue or with its consumers, without empty queues."""
        counts = {
            name: len(queue.ready) + sum(len(port.unsettled) for port in queue.ports)
            for name, queue in self._queues.items()
        }
        return {name: count for name, count in counts.items() if count}

    # -- sending ------------------------------------------------------------------------------------

    def post(
        self,
        session: Session,
        message: Outgoing,
        settle: Callable[[DagwayError | None], None],
        pending: PendingReply | None,
    ) -> None:
        """Take a message of a session, and confirm it."""
        if self.blocked:
            self._blocked_posts.append(lambda: None if session.broken else self.post(session, message, settle, pending))
            return
        name = message.queue.name
        taps = self._taps.get(name, ())
        for tap in taps:
            tap.session.down(lambda tap=tap: tap.receive(message.body))  # type: ignore[misc]
        queue = self._queues.get(name)
        if queue is None and not taps:
            session.down(lambda: settle(Unroutable(f"there is no broker queue {name}")))
            return
        if queue is not None:
            self._enqueue(queue, message, self._reply_to(session, pending))
            if self.duplicates and name.startswith(_DUPLICATED) and self._rng.random() < self.duplicate:
                self.kernel.after(self._rng.expovariate(0.3), lambda: self._enqueue(queue, message, None))
        if name.startswith(_TASKS):
            task = decode(message.body).body
            self.tokens.add(task.token if isinstance(task, Task) else "")
        session.down(lambda: settle(None))

    def _reply_to(self, session: Session, pending: PendingReply | None) -> Callable[[bytes], None] | None:
        if pending is None:
            return None
        return lambda body: session.down(lambda: pending.answer(body))

    def _enqueue(self, queue: _Queue, message: Outgoing, reply: Callable[[bytes], None] | None) -> None:
        self._seq += 1
        copy = Message(self._seq, message.message_id, message.body, int(message.again), reply)
        if queue.spec.durability is Durability.TRANSIENT:
            copy.dies_s = self.kernel.now_s + _TRANSIENT_TTL_S
        self.kernel.note(f"stored {queue.spec.name} {message.message_id}")
        queue.ready.append(copy)
        self._pump(queue)

    def broadcast(self, topic: str, body: bytes) -> None:
        for session in self.sessions():
            for topics, callback in session.topics:
                if topic in topics:
                    session.down(lambda callback=callback: callback(topic, body))  # type: ignore[misc]

    # -- delivery -----------------------------------------------------------------------------------

    def subscribe(self, port: Port) -> None:
        self.declare([port.queue])
        queue = self._queues[port.queue.name]
        queue.ports.append(port)
        self._pump(queue)

    def tap(self, session: Session, source: str, name: str, receive: Callable[[bytes], None]) -> None:
        for address in (source, name):
            self._taps.setdefault(address, []).append(_TapPort(session, name, receive))

    def pause(self, port: Port, paused: bool) -> None:
        port.paused = paused
        self._pump(self._queues[port.queue.name])

    def unsubscribe(self, port: Port) -> None:
        queue = self._queues[port.queue.name]
        if port in queue.ports:
            self._drop(queue, port)

    def settle(self, port: Port, message: Message, how: str, why: str) -> None:
        if port.unsettled.pop(message.seq, None) is None:
            return
        queue = self._queues[port.queue.name]
        if how == "retry":
            self._return(queue, [message])
        elif how == "dead":
            self.dead.append(DeadLetter(message.id, queue.spec.name, message.body, why))
        self._pump(queue)

    def _drop(self, queue: _Queue, port: Port) -> None:
        queue.ports.remove(port)
        self._return(queue, list(port.unsettled.values()))
        port.unsettled.clear()
        self._pump(queue)

    def _return(self, queue: _Queue, messages: list[Message]) -> None:
        for message in reversed(messages):
            message.returns += 1
            if message.returns > DELIVERY_LIMIT and queue.spec.durability is Durability.SAFE:
                self.dead.append(DeadLetter(message.id, queue.spec.name, message.body, "delivery limit"))
            else:
                queue.ready.appendleft(message)

    def _pump(self, queue: _Queue) -> None:
        while queue.ready:
            open_ports = [port for port in queue.ports if not port.paused and len(port.unsettled) < port.prefetch]
            if not open_ports:
                return
            best = max(port.priority for port in open_ports)
            port = self._rng.choice([port for port in open_ports if port.priority == best])
            message = queue.ready.popleft()
            if message.dies_s is not None and message.dies_s < self.kernel.now_s:
                continue
            port.unsettled[message.seq] = message
            port.session.down(lambda port=port, message=message: port.arrive(port, message))  # type: ignore[misc]

    def check_open(self) -> None:
        """Raise ``BrokerUnavailable`` if the broker takes nothing now."""
        if not self.up or self.blocked:
            raise BrokerUnavailable("the broker is away or blocks publishers")
