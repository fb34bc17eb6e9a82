"""In a gevent process, messages leave although their sender does not yield."""

import os
import sys
import textwrap
from pathlib import Path

from shared.ids import new_token
from shared.transport.base import BrokerQueue, Durability
from shared.transport.rabbitmq.publisher import FLUSH_FROM
from shared.transport.rabbitmq.transport import RabbitTransport
from tests.conformance.transport_moves import take_all
from tests.harness.eventually import PATIENCE_S
from tests.harness.reaper import kill_group, spawn

SENDER = """
    import sys
    from services.api.serving.greenlets import become_green

    become_green()
    import os
    from gevent.monkey import get_original
    from shared.transport.base import Durability, Outgoing, BrokerQueue
    from shared.transport.rabbitmq.transport import RabbitTransport

    url, name, count, seen = sys.argv[1:]
    route = BrokerQueue(name, Durability.SAFE, batched=True)
    transport = RabbitTransport(url, name="green")
    transport.declare([route])
    sent = [transport.send(Outgoing(route, str(n).encode(), str(n))) for n in range(int(count))]
    # Nobody else has a turn on this thread, as while many requests are read one after the other.
    for _ in range(6000):
        if os.path.exists(seen):
            break
        get_original("time", "sleep")(0.02)
    print("seen" if os.path.exists(seen) else "waited in vain", flush=True)
    for one in sent:
        one.result(60)
    transport.close()
    print("accepted", flush=True)
"""


def test_eight_messages_leave_though_their_sender_goes_on(amqp_url: str, tmp_path: Path) -> None:
    route = BrokerQueue(f"test.{new_token()[:8]}", Durability.SAFE, batched=True)
    seen, log = tmp_path / "seen", tmp_path / "log"
    transport = RabbitTransport(amqp_url, name="beside")
    argv = [sys.executable, "-c", textwrap.dedent(SENDER), amqp_url, route.name, str(FLUSH_FROM), str(seen)]
    sender = spawn(argv, env=dict(os.environ), cwd=Path.cwd(), log=log)
    try:
        consumer = transport.consume([route], prefetch=1)
        taken = take_all(consumer, FLUSH_FROM)
        seen.touch()
        sender.wait(PATIENCE_S)
    finally:
        kill_group(sender)
        transport.close()

    assert [delivery.body for delivery in taken] == [str(n).encode() for n in range(FLUSH_FROM)]
    assert log.read_text() == "seen\naccepted\n"
