"""What an attempt holds until the broker has confirmed its end report."""

from concurrent.futures import Future
from pathlib import Path

from shared.clock import utc_now
from shared.contracts.events import AttemptFinished, Heartbeat
from shared.transport.base import HEARTBEATS, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import eventually
from tests.harness.worker_rig import Rig, command, task


class _Unhurried(EmbeddedTransport):
    """Stores the end report of ``first``, but withholds its confirm until the test gives it."""

    def __init__(self) -> None:
        super().__init__(None)
        self.confirm: Future[None] = Future()

    def send(self, message: Outgoing) -> "Future[None]":
        accepted = super().send(message)
        return self.confirm if message.message_id == f"first.{AttemptFinished.type}" else accepted


def test_an_attempt_has_its_lease_and_its_slot_until_its_end_report_is_confirmed(tmp_path: Path) -> None:
    transport = _Unhurried()
    with Rig(tmp_path, transport=transport, slots=1, lease_s=0.5) as rig:
        rig.give(task(command("true"), token="first"))
        rig.finished("first")
        reported_at = utc_now()
        rig.give(task(command("true"), token="second"))

        heard, beats = transport.consume([HEARTBEATS], prefetch=1000), list[Heartbeat]()

        def five() -> bool:
            beats.extend(beat for beat in rig.taken(heard, Heartbeat) if beat.at > reported_at)
            return len(beats) >= 5

        eventually(five)
        assert {beat.tokens for beat in beats} == {("first",)}
        assert rig.events("second") == []

        transport.confirm.set_result(None)
        assert rig.finished("second").outcome == "succeeded"
        eventually(lambda: rig.worker.attempts.tokens() == ())
