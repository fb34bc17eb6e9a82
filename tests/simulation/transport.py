"""The simulated transport: the connection of one host to the simulated broker.

One task per host is its I/O thread: it runs the callbacks of futures, taps and listeners, and connects again.
"""

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from shared.errors import BrokerUnavailable, DagwayError, PublishUnconfirmed, Unroutable
from shared.transport.base import (
    NO_PRIORITIES,
    BrokerQueue,
    DeadLetter,
    DeadLetterDecision,
    Delivery,
    Outgoing,
    Tap,
)
from shared.transport.pending_reply import PendingReply
from shared.transport.topology import known_queue
from tests.simulation.broker import Broker, Message, Port, Session
from tests.simulation.kernel import Host, Kernel
from tests.simulation.threads import Condition, Event, Future, Lock, SimpleQueue

__all__ = ["SimulatedTransport"]

_RECONNECT_S = (0.1, 4.0)


class SimulatedTransport:
    """See ``shared.transport.base.Transport``. Made by a task of ``host``, which it connects to the broker."""

    def __init__(self, kernel: Kernel, broker: Broker, host: Host, rng: random.Random) -> None:
        self.kernel, self.broker, self.host, self._rng = kernel, broker, host, rng
        self.session: Session | None = None
        self.closed = False
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._number = 0
        self._open: dict[int, Callable[[DagwayError | None], None]] = {}
        self._sent = 0
        self._awaited: dict[PendingReply, None] = {}
        self._consumers: list[SimulatedConsumer] = []
        self._taps: list[_Tap] = []
        self._topics: list[tuple[frozenset[str], Callable[[str, bytes], None]]] = []
        kernel.spawn(host, "broker-io", self._run)
        self._connect()

    # -- the I/O thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self.closed:
            self._inbox.get()()

    def _connect(self) -> None:
        if self.closed or self.host.dead:
            return
        self.session = session = self.broker.connect(self._inbox.put, self._number + 1)
        if session is None:
            self._connect_later()
            return
        self._number += 1
        session.on_broken = lambda: self._inbox.put(lambda: self._lost(session))
        session.topics = self._topics
        # The taps come first: consumers receive nothing before.
        for tap in self._taps:
            tap.open(session)
        for consumer in self._consumers:
            consumer.open(session)

    def _connect_later(self) -> None:
        self.kernel.after(self._rng.uniform(*_RECONNECT_S), lambda: self._inbox.put(self._connect))

    def _lost(self, session: Session) -> None:
        if self.session is not session:
            return
        self.session = None
        for tap in self._taps:
            tap.session = 0
        for consumer in self._consumers:
            consumer.lost()
        settlers, self._open = self._open, {}
        for settle in settlers.values():
            settle(PublishUnconfirmed("the connection was lost before the confirm"))
        pending, self._awaited = self._awaited, {}
        for one in pending:
            one.fail(BrokerUnavailable("the connection was lost before the reply"))
        self._connect_later()

    def hang_up(self) -> None:
        """What the broker sees when the host is killed."""
        self.closed = True
        if self.session is not None:
            self.broker.cut(self.session)

    # -- sending --------------------------------------------------------------------------------------

    @property
    def one_program(self) -> bool:
        return False

    @property
    def healthy(self) -> bool:
        return self.session is not None and not self.broker.blocked

    @property
    def forbidden(self) -> tuple[str, ...]:
        return ()

    @property
    def blocked(self) -> bool:
        return self.session is not None and self.broker.blocked

    def send(self, message: Outgoing) -> "Future[None]":
        future: Future[None] = Future()

        def settle(error: DagwayError | None) -> None:
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._post(message, settle, None)
        return future

    def request(self, message: Outgoing) -> PendingReply:
        pending = PendingReply(lambda: self._awaited.pop(pending, None))
        self._awaited[pending] = None
        self._post(message, pending.settle, pending)
        return pending

    def _post(
        self, message: Outgoing, settle: Callable[[DagwayError | None], None], pending: PendingReply | None
    ) -> None:
        session = self.session
        if session is None or not self.healthy or self.host.dead:
            settle(BrokerUnavailable("the broker is away or blocks publishers"))
            return
        self._sent += 1
        number = self._sent
        self._open[number] = settle

        def confirmed(error: DagwayError | None) -> None:
            known = self._open.pop(number, None)
            if known is not None:
                known(error)

        session.up(lambda: self.broker.post(session, message, confirmed, pending))
        self.kernel.give_way()

    def broadcast(self, topic: str, body: bytes) -> None:
        if self.session is not None and self.healthy:
            self.session.up(lambda: self.broker.broadcast(topic, body))

    # -- asking ---------------------------------------------------------------------------------------

    def _round_trip(self) -> None:
        session = self.session
        if session is None or session.broken:
            raise BrokerUnavailable("the broker is away")
        self.broker.check_open()
        done = Event()
        session.up(lambda: session.down(done.set))
        if not done.wait(5.0) or self.session is not session:
            raise BrokerUnavailable("the broker did not answer")

    def declare(self, queues: Sequence[BrokerQueue]) -> None:
        self._round_trip()
        self.broker.declare(queues)

    def waiting(self, queue: BrokerQueue) -> int:
        self._round_trip()
        return self.broker.waiting(queue.name)

    def exists(self, name: str) -> bool:
        self._round_trip()
        return self.broker.exists(name)

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        return self.broker.dead[:limit]

    def settle_dead_letters(self, decide: Callable[[DeadLetter], DeadLetterDecision], limit: int) -> frozenset[str]:
        self._round_trip()
        stuck: set[str] = set()
        for letter in self.broker.dead[:limit]:
            decision = decide(letter)
            if decision is DeadLetterDecision.RETURN:
                try:
                    self.send(Outgoing(known_queue(letter.queue), letter.body, letter.id)).result(30)
                except Unroutable:
                    stuck.add(letter.fingerprint)
                    continue
            if decision is not DeadLetterDecision.KEEP:
                self.broker.dead.remove(letter)
        return frozenset(stuck)

    # -- receiving ------------------------------------------------------------------------------------

    def consume(
        self,
        queues: Sequence[BrokerQueue],
        *,
        prefetch: int,
        acks_wait_s: float = 0,
        priorities: Mapping[str, int] = NO_PRIORITIES,
    ) -> "SimulatedConsumer":
        consumer = SimulatedConsumer(self, queues, prefetch, acks_wait_s, priorities)
        self._consumers.append(consumer)
        if self.session is not None:
            consumer.open(self.session)
        return consumer

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        self._topics.append((frozenset(topics), callback))

    def tap(self, queue: BrokerQueue, name: str, callback: Callable[[bytes], None]) -> Tap:
        tap = _Tap(self, queue.name, name, callback)
        self._taps.append(tap)
        if self.session is not None:
            tap.open(self.session)
        return tap

    def forget(self, consumer: "SimulatedConsumer") -> None:
        if consumer in self._consumers:
            self._consumers.remove(consumer)

    def close(self) -> None:
        self.hang_up()
        self._inbox.put(lambda: None)

    def settle(self, port: Port, message: Message, how: str, why: str, wait_s: float) -> None:
        """Send an acknowledgement, which may wait for others."""
        if port.session is self.session and not self.host.dead:
            port.session.up_late(lambda: self.broker.settle(port, message, how, why), wait_s)

    def wait_for_acks_s(self, most_s: float) -> float:
        return self._rng.random() * most_s if most_s else 0.0


class _Tap:
    def __init__(
        self, transport: SimulatedTransport, source: str, name: str, callback: Callable[[bytes], None]
    ) -> None:
        self._transport, self._source, self._name, self._callback = transport, source, name, callback
        self.session = 0

    def open(self, session: Session) -> None:
        def opened() -> None:
            self.session = session.number

        def at_broker() -> None:
            self._transport.broker.tap(session, self._source, self._name, self._callback)
            session.down(opened)

        session.up(at_broker)


class _Delivery:
    """See ``shared.transport.base.Delivery``."""

    def __init__(self, consumer: "SimulatedConsumer", port: Port, message: Message, arrived_s: float) -> None:
        self._consumer, self._port, self._message, self.arrived_s = consumer, port, message, arrived_s
        self._settled = False
        self.body, self.message_id = message.body, message.id
        self.redelivered = message.returns > 0
        self.queue = port.queue

    @property
    def held(self) -> bool:
        return not self._settled and self._consumer.holds(self._port)

    def ack(self) -> None:
        self._settle("ack")

    def retry(self) -> None:
        self._settle("retry")

    def dead_letter(self, why: str) -> None:
        self._settle("dead", why)

    def _settle(self, how: str, why: str = "") -> None:
        if self.held:
            self._settled = True
            self._consumer.settle(self._port, self._message, how, why)

    def reply(self, body: bytes) -> None:
        self._consumer.reply(self._message, body)


class SimulatedConsumer:
    """See ``shared.transport.base.Consumer``. The broker sends ahead, up to the prefetch of each queue."""

    def __init__(
        self,
        transport: SimulatedTransport,
        queues: Sequence[BrokerQueue],
        prefetch: int,
        acks_wait_s: float,
        priorities: Mapping[str, int],
    ) -> None:
        self._transport = transport
        self._queues = list(queues)
        self._prefetch, self._acks_wait_s, self._priorities = prefetch, acks_wait_s, priorities
        self._arrived: deque[_Delivery] = deque()
        self._arrival = Condition(Lock())
        self._ports: list[Port] = []
        self._paused = self._interrupted = self._closed = False
        self._since_s: float | None = None

    def open(self, session: Session) -> None:
        """Consume in a new session."""
        self._ports = []
        for queue in self._queues:
            self._open_port(session, queue)
        session.up(lambda: session.down(self._connected))

    def _open_port(self, session: Session, queue: BrokerQueue) -> None:
        port = Port(session, queue, self._prefetch, self._priorities.get(queue.name, 0), self._arrive, self._paused)
        self._ports.append(port)
        session.up(lambda: self._transport.broker.subscribe(port))

    def _connected(self) -> None:
        self._since_s = self._transport.kernel.now_s

    def lost(self) -> None:
        """The session is over: what it delivered is not held any more."""
        self._ports = []
        self._since_s = None
        self._arrived.clear()

    def _arrive(self, port: Port, message: Message) -> None:
        if port in self._ports:
            self._arrived.append(_Delivery(self, port, message, self._transport.kernel.now_s))
            self._arrival.notify_all()

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        if not self._arrived and timeout_s > 0 and not self._closed:
            with self._arrival:
                self._arrival.wait_for(lambda: self._arrived or self._interrupted or self._closed, timeout_s)
        self._interrupted = False
        return [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]

    def interrupt(self) -> None:
        self._interrupted = True
        self._arrival.notify_all()

    def holds(self, port: Port) -> bool:
        return port in self._ports

    def settle(self, port: Port, message: Message, how: str, why: str) -> None:
        wait_s = self._transport.wait_for_acks_s(self._acks_wait_s) if how == "ack" else 0.0
        self._transport.settle(port, message, how, why, wait_s)

    def reply(self, message: Message, body: bytes) -> None:
        session, answer = self._transport.session, message.reply
        if answer is not None and session is not None and self._transport.healthy:
            session.up(lambda: answer(body))

    def pause(self) -> None:
        self._pause(True)

    def wind_down(self) -> None:
        self._pause(True)

    def resume(self) -> None:
        self._pause(False)

    def _pause(self, paused: bool) -> None:
        if self._closed or self._paused == paused:
            return
        self._paused = paused
        for port in self._ports:
            port.session.up(lambda port=port: self._transport.broker.pause(port, paused))  # type: ignore[misc]

    def add_queue(self, queue: BrokerQueue) -> None:
        if queue in self._queues or self._closed:
            return
        self._queues.append(queue)
        if self._transport.session is not None:
            self._open_port(self._transport.session, queue)

    @property
    def connected_for_s(self) -> float:
        if self._since_s is None or self._paused:
            return 0.0
        return self._transport.kernel.now_s - self._since_s

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._transport.forget(self)
        for port in self._ports:
            port.session.up(lambda port=port: self._transport.broker.unsubscribe(port))  # type: ignore[misc]
        self._ports = []
        self._arrived.clear()
        self._arrival.notify_all()
