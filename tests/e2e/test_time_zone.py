"""The steps of a server are in its time zone, as those of Dagu are."""

from pathlib import Path

import pytest

from tests.harness.cluster import Embedded

DAG = """\
env:
  - IN_ENV: "`printenv TZ`"
params: "IN_PARAMS=`printenv TZ`"
steps:
  - name: one
    command: echo "$(printenv TZ) $IN_ENV $IN_PARAMS"
    preconditions:
      - condition: "`printenv TZ`"
        expected: ZONE
"""


@pytest.mark.parametrize(
    ("settings", "zone"),
    [
        ({"DAGU_TZ": "Asia/Tokyo", "TZ": "America/New_York"}, "Asia/Tokyo"),
        ({"TZ": "America/New_York"}, "America/New_York"),
    ],
    ids=["set", "not-set"],
)
def test_a_command_has_the_time_zone_of_the_server(tmp_path: Path, settings: dict[str, str], zone: str) -> None:
    with Embedded(tmp_path / "up", env=settings) as system:
        system.client.create("zoned", DAG.replace("ZONE", zone))
        run_id = system.client.start("zoned")
        system.client.until("succeeded", "zoned", run_id)

        assert system.client.text("zoned", run_id, "one").strip() == f"{zone} {zone} {zone}"
