"""Each alert is caused on real processes and reaches whoever is on call; then its runbook is followed, and it ends.

The shipped rules run in a real Prometheus and the shipped routes in a real Alertmanager, faster. Without containers the
commands for Compose act on processes (``Compose``). ``DAGWAY_TEST_ALERTS=all`` plays all scenes (``make alerts``),
otherwise only a few.
"""

import time
from collections.abc import Callable

import pytest
import yaml

from tests.alerts.conftest import ALL
from tests.alerts.scenes import SCENES, SHORT
from tests.alerts.watched import RUNBOOKS, Watched, cure_of
from tests.harness.eventually import eventually
from tests.harness.prometheus import DOCS_URL, SHIPPED

_PLAYED = SCENES if ALL else SHORT
_WAIT_S = 240


def _wait(condition: Callable[[], bool], began_s: float) -> str:
    """Wait for a condition, and return how many seconds after ``began_s`` it held."""
    eventually(condition, timeout_s=_WAIT_S)
    return f"{time.monotonic() - began_s:.1f}"


@pytest.mark.timeout(1200)  # longer than all waits of a scene together
@pytest.mark.parametrize("alert", _PLAYED)
def test_an_alert_reaches_who_is_on_call_and_its_page_ends_it(
    watched: Watched, alert: str, record_property: Callable[[str, object], None]
) -> None:
    scene = SCENES[alert]
    text, commands = cure_of(alert)
    eventually(lambda: not watched.firing(alert), timeout_s=_WAIT_S)
    fired, ended = len(watched.notices(alert, "firing")), len(watched.notices(alert, "resolved"))

    began_s = time.monotonic()
    scene.cause(watched)
    fired_s = _wait(lambda: watched.firing(alert), began_s)
    sent_s = "inhibited"
    if scene.inhibited_by:
        eventually(lambda: bool(watched.notices(scene.inhibited_by, "firing")), timeout_s=_WAIT_S)
        eventually(lambda: alert in watched.alertmanager.inhibited(), timeout_s=_WAIT_S)
        assert len(watched.notices(alert, "firing")) == fired
    else:
        sent_s = _wait(lambda: len(watched.notices(alert, "firing")) > fired, began_s)
        notice = watched.notices(alert, "firing")[-1]
        assert notice["annotations"]["runbook_url"] == f"{DOCS_URL}/runbooks/{alert}/"
        assert "docs" not in notice["labels"]
        assert notice["annotations"]["summary"]
    began_s = time.monotonic()
    if scene.act is None:
        assert commands
        for command in commands:
            watched.compose.carry_out(command)
    else:
        assert scene.says in text
        scene.act(watched)
    ended_s = _wait(lambda: not watched.firing(alert), began_s)
    if not scene.inhibited_by:
        eventually(lambda: len(watched.notices(alert, "resolved")) > ended, timeout_s=_WAIT_S)
    record_property("alert", (alert, fired_s, sent_s, ended_s))


def test_every_alert_has_a_scene() -> None:
    shipped = [SHIPPED / name for name in ("alerts.rules.yml", "global.rules.yml")]
    groups = [group for file in shipped for group in yaml.safe_load(file.read_text())["groups"]]

    assert set(SCENES) == {rule["alert"] for group in groups for rule in group["rules"]}
    for alert, scene in SCENES.items():
        if scene.act is not None:
            assert scene.says
            assert scene.says in cure_of(alert)[0]


def test_the_pages_are_those_of_the_scenes() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == set(SCENES)
