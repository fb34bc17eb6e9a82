"""``dagway dead-letters`` on both transports."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from services.cli import cli
from shared.transport.base import COMMANDS, Outgoing
from shared.transport.open import open_transport
from tests.conformance.conftest import Deployment
from tests.conformance.transport_moves import take_one
from tests.harness.eventually import eventually


def dagway(deployment: Deployment, folder: Path, *words: str) -> Result:
    embedded = deployment.transport_url.startswith("embedded")
    where = ("--data-dir", str(folder)) if embedded else ("--amqp-url", deployment.transport_url)
    return CliRunner().invoke(cli, [*words, *where])


def test_dead_letters_are_listed_with_their_reason_and_returned(deployment: Deployment, tmp_path: Path) -> None:
    url = "embedded:" if deployment.transport_url.startswith("embedded") else deployment.transport_url
    one = open_transport(url, name="test", data_dir=tmp_path)
    one.declare([COMMANDS])
    one.send(Outgoing(COMMANDS, b"what is this", "m1")).result(60)
    consumer = one.consume([COMMANDS], prefetch=1)
    take_one(consumer).dead_letter("not to be read")
    eventually(lambda: len(one.dead_letters(10)) == 1)
    consumer.close()
    one.close()

    listed = dagway(deployment, tmp_path, "dead-letters", "list")
    with_bodies = dagway(deployment, tmp_path, "dead-letters", "list", "--bodies")
    in_json = dagway(deployment, tmp_path, "dead-letters", "list", "--bodies", "--json")
    returned = dagway(deployment, tmp_path, "dead-letters", "return")
    none = dagway(deployment, tmp_path, "dead-letters", "list")

    assert (listed.exit_code, listed.stdout) == (0, f"m1 {COMMANDS.name}: not to be read\n"), listed.output
    assert with_bodies.stdout == f"m1 {COMMANDS.name}: not to be read what is this\n"
    letter = {"id": "m1", "queue": COMMANDS.name, "reason": "not to be read", "body": "what is this"}
    assert json.loads(in_json.stdout) == {"deadLetters": [letter]}
    assert (returned.exit_code, returned.stdout) == (0, "1 returned\n")
    assert (none.exit_code, none.stdout) == (0, "")
    assert none.stderr.endswith("there is no dead letter\n")

    two = open_transport(url, name="test", data_dir=tmp_path)
    back = take_one(two.consume([COMMANDS], prefetch=1))
    assert (back.message_id, back.body) == ("m1", b"what is this")
    back.ack()
    two.close()
