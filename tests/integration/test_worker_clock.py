"""A worker on a host whose clock is set while it runs."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from services.worker import main
from shared.clock import utc_now
from shared.contracts.events import Heartbeat
from shared.transport.base import HEARTBEATS
from tests.harness.eventually import eventually
from tests.harness.worker_rig import Rig


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(hours=1)])
def test_the_times_of_heartbeats_follow_no_jump_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    with Rig(tmp_path, lease_s=0.5) as rig:
        heard = rig.transport.consume([HEARTBEATS], prefetch=1000)
        beats: list[Heartbeat] = []

        def more_than(count: int) -> bool:
            beats.extend(rig.taken(heard, Heartbeat))
            return len(beats) > count

        eventually(lambda: more_than(1))
        monkeypatch.setattr(main, "utc_now", lambda: utc_now() + jump)
        before = len(beats)
        eventually(lambda: more_than(before + 2))

    gaps = [later.at - earlier.at for earlier, later in pairwise(beats)]
    assert all(timedelta(0) < gap < timedelta(minutes=10) for gap in gaps)
