"""``dagway dead-letters return`` on the journal of a stopped ``dagway up``."""

from pathlib import Path

import pytest

from services import dead_letters
from services.dead_letters import read_dead_letters, return_dead_letters
from shared.errors import Unroutable
from shared.settings.config import Config, load_config
from shared.transport.base import COMMANDS, BrokerQueue, Durability, Outgoing
from shared.transport.open import open_transport

_GONE = BrokerQueue("test.gone", Durability.REPRODUCIBLE)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return the settings of a folder whose journal has a dead letter of a queue that nobody declares any more."""
    loaded = load_config({"data_dir": str(tmp_path)}, {})
    _bury(loaded, _GONE)
    return loaded


def _bury(config: Config, queue: BrokerQueue, message_id: str = "x") -> None:
    transport = open_transport("embedded:", name="test", data_dir=config.data_dir)
    consumer = transport.consume([queue], prefetch=1)
    transport.send(Outgoing(queue, b"x", message_id)).result(30)
    [delivery] = consumer.take(1, 30)
    delivery.dead_letter("why")
    transport.close()


def test_a_letter_without_a_queue_stays_and_holds_up_no_other(config: Config) -> None:
    _bury(config, COMMANDS)

    assert return_dead_letters(config, 10) == 1

    assert [letter.queue for letter in read_dead_letters(config, 10)] == [_GONE.name]


def test_many_letters_are_returned_a_part_at_a_time(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "_AT_ONCE", 2)
    for number, queue in enumerate((_GONE, _GONE, COMMANDS, COMMANDS, _GONE, COMMANDS, COMMANDS, COMMANDS)):
        _bury(config, queue, str(number))

    assert return_dead_letters(config, 100) == 5

    assert [letter.queue for letter in read_dead_letters(config, 10)] == [_GONE.name] * 4


def test_it_fails_if_no_letter_has_a_queue_to_return_to(config: Config) -> None:
    with pytest.raises(Unroutable, match=f"there is no broker queue {_GONE.name}"):
        return_dead_letters(config, 10)

    assert len(read_dead_letters(config, 10)) == 1


def test_only_as_many_as_asked_for_are_returned(config: Config) -> None:
    _bury(config, COMMANDS)
    _bury(config, COMMANDS)

    assert return_dead_letters(config, 2) == 1

    assert len(read_dead_letters(config, 10)) == 2
