"""``dagway dead-letters`` on both transports."""

from pathlib import Path

from services.dead_letters import describe_dead_letters, redrive_dead_letters
from shared.config import Config, load_config
from shared.transport.base import COMMANDS, Outgoing
from shared.transport.open import open_transport
from tests.conformance.conftest import Footing
from tests.conformance.transport_moves import take_one
from tests.harness.eventually import eventually


def config_of(footing: Footing, folder: Path) -> Config:
    given = {"data_dir": folder}
    return load_config(
        given if footing.transport_url.startswith("embedded") else {"amqp_url": footing.transport_url}, {}
    )


def test_dead_letters_are_listed_with_their_reason_and_returned(footing: Footing, tmp_path: Path) -> None:
    config = config_of(footing, tmp_path)
    url = config.amqp_url or "embedded:"
    one = open_transport(url, name="test", data_dir=tmp_path)
    one.declare([COMMANDS])
    one.send(Outgoing(COMMANDS, b"what is this", "m1")).result(10)
    consumer = one.consume([COMMANDS], prefetch=1)
    take_one(consumer).dead_letter("not to be read")
    eventually(lambda: len(one.dead_letters(10)) == 1)
    consumer.close()
    one.close()

    assert list(describe_dead_letters(config, 10, bodies=False)) == [f"m1 {COMMANDS.name}: not to be read"]
    assert list(describe_dead_letters(config, 10, bodies=True)) == [f"m1 {COMMANDS.name}: not to be read what is this"]
    assert redrive_dead_letters(config, 10) == 1
    assert list(describe_dead_letters(config, 10, bodies=True)) == []

    two = open_transport(url, name="test", data_dir=tmp_path)
    back = take_one(two.consume([COMMANDS], prefetch=1))
    assert (back.message_id, back.body) == ("m1", b"what is this")
    back.ack()
    two.close()
