"""Each alert is caused on real processes; then its runbook is followed, and it ends.

The shipped rules run in a real Prometheus, faster. Without containers the commands for Compose act on processes
(``Compose``). ``DAGWAY_TEST_ALERTS=all`` plays all scenes (``make alerts``), otherwise only a few.
"""

import os

import pytest
import yaml

from tests.alerts.scenes import SCENES, SHORT
from tests.alerts.watched import RUNBOOKS, Watched, cure_of
from tests.harness.eventually import eventually
from tests.harness.prometheus import SHIPPED

_PLAYED = SCENES if os.environ.get("DAGWAY_TEST_ALERTS") == "all" else SHORT
_WAIT_S = 180


@pytest.mark.timeout(900)  # longer than all waits of a scene together
@pytest.mark.parametrize("alert", _PLAYED)
def test_an_alert_fires_and_its_page_ends_it(watched: Watched, alert: str) -> None:
    scene = SCENES[alert]
    text, commands = cure_of(alert)
    eventually(lambda: not watched.firing(alert), timeout_s=_WAIT_S)

    scene.cause(watched)
    eventually(lambda: watched.firing(alert), timeout_s=_WAIT_S)
    if scene.act is None:
        assert commands
        for command in commands:
            watched.compose.carry_out(command)
    else:
        assert scene.says in text
        scene.act(watched)
    eventually(lambda: not watched.firing(alert), timeout_s=_WAIT_S)


def test_scenes_are_of_alerts_that_exist() -> None:
    groups = yaml.safe_load((SHIPPED / "alerts.rules.yml").read_text())["groups"]

    assert SCENES.keys() <= {rule["alert"] for group in groups for rule in group["rules"]}
    assert all((RUNBOOKS / f"{alert}.md").exists() for alert in SCENES)
