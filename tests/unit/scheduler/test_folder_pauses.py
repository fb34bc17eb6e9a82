"""How often the DAG folder is looked at."""

import pytest

from services.scheduler.loops.folder import pause_s


@pytest.mark.parametrize(
    ("listing_took_s", "pause"),
    [
        (0.0, 1.0),
        (0.05, 1.0),
        (0.5, 10.0),
        (400.0, 30.0),  # A stall of the disk or of the machine: new files must not wait for hours after it.
    ],
)
def test_a_slow_listing_makes_looks_rarer_and_a_stall_does_not_end_them(listing_took_s: float, pause: float) -> None:
    assert pause_s(listing_took_s) == pytest.approx(pause)
