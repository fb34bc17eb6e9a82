"""What the signature of a message is valid for, by the broker queue or the topic that it is sent to. Pure."""

from shared.contracts.control import CHANGES
from shared.contracts.signing import Purpose, SignatureScope
from shared.errors import InvariantBroken
from shared.transport.base import AUDIT, COMMANDS, EVENT_SHARDS, EVENTS, HEARD, HEARTBEATS, LOGS, BrokerQueue

__all__ = ["KINDS", "kind_of", "queue_scope", "topic_scope"]

_PURPOSES = {
    AUDIT.name: Purpose.COMMAND,
    COMMANDS.name: Purpose.COMMAND,
    EVENTS.name: Purpose.REPORT,
    **{shard.name: Purpose.REPORT for shard in EVENT_SHARDS},
    LOGS.name: Purpose.REPORT,
}
"""Who signs the messages in each broker queue. A queue that is missing here cannot be used."""
_PREFIXES = (
    (HEARTBEATS.name, Purpose.HEARTBEAT),
    (HEARD, Purpose.HEARTBEAT),
    ("dagway.tasks.", Purpose.TASK),
    ("dagway.worker.", Purpose.TASK),
)
KINDS = {
    Purpose.COMMAND: ("commands", "audit"),
    Purpose.REPLY: ("replies",),
    Purpose.NOTICE: ("control",),
    Purpose.TASK: ("tasks",),
    Purpose.CONTROL: ("control",),
    Purpose.REPORT: ("events", "logs"),
    Purpose.HEARTBEAT: ("heartbeats",),
    Purpose.MARKER: ("heartbeats", "events"),
}
"""The kinds of broker queues, as metrics name them: there are as many worker queues as workers."""


def queue_scope(queue: BrokerQueue, message_id: str) -> SignatureScope:
    """Return what the signature of a message in a broker queue is valid for."""
    purpose = _purpose(queue)
    if purpose is Purpose.HEARTBEAT:
        # A copy may be heard on another queue and without its id; all other messages stay where they were sent.
        return SignatureScope(purpose, HEARTBEATS.name)
    return SignatureScope(purpose, f"{queue.name} {message_id}")


def _purpose(queue: BrokerQueue) -> Purpose:
    for prefix, purpose in _PREFIXES:
        if queue.name.startswith(prefix):
            return purpose
    try:
        return _PURPOSES[queue.name]
    except KeyError:
        raise InvariantBroken(f"nobody says who signs the messages in {queue.name}: add it to _PURPOSES") from None


def kind_of(queue: BrokerQueue) -> str:
    """Return the kind of a broker queue; see ``KINDS``."""
    kinds = KINDS[_purpose(queue)]
    return kinds[0] if len(kinds) == 1 else queue.name.split(".")[1]


def topic_scope(topic: str) -> SignatureScope:
    """Return what the signature of a broadcast is valid for."""
    return SignatureScope(Purpose.NOTICE if topic == CHANGES else Purpose.CONTROL, topic)
