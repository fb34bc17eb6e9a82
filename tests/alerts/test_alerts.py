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
from tests.alerts.pages import RUNBOOKS, cures_of
from tests.alerts.scene import Scene
from tests.alerts.scenes import AGAIN, SCENES, SHORT
from tests.alerts.watched import Watched
from tests.harness.eventually import eventually
from tests.harness.prometheus import DOCS_URL, SHIPPED

_PLAYS = [*SCENES.items(), *AGAIN.items()]
_PLAYED = {
    **{alert: (alert, scene) for alert, scene in SCENES.items() if ALL or alert in SHORT},
    **{f"{alert}-again": (alert, scene) for alert, scene in AGAIN.items() if ALL},
}
"""The plays of this run, by their names."""
_WAIT_S = 240


def _wait(condition: Callable[[], bool], began_s: float) -> str:
    """Wait for a condition, and return how many seconds after ``began_s`` it held."""
    eventually(condition, timeout_s=_WAIT_S)
    return f"{time.monotonic() - began_s:.1f}"


@pytest.mark.timeout(1200)  # longer than all waits of a scene together
@pytest.mark.parametrize(("alert", "scene"), _PLAYED.values(), ids=_PLAYED)
def test_an_alert_reaches_who_is_on_call_and_its_page_ends_it(
    watched: Watched,
    alert: str,
    scene: Scene,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
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
    scene.cure(watched, alert)
    ended_s = _wait(lambda: not watched.firing(alert), began_s)
    if not scene.inhibited_by:
        eventually(lambda: len(watched.notices(alert, "resolved")) > ended, timeout_s=_WAIT_S)
    record_property("alert", (request.node.callspec.id, fired_s, sent_s, ended_s))


def test_every_alert_has_a_scene() -> None:
    shipped = [SHIPPED / name for name in ("alerts.rules.yml", "global.rules.yml")]
    groups = [group for file in shipped for group in yaml.safe_load(file.read_text())["groups"]]

    assert set(SCENES) == {rule["alert"] for group in groups for rule in group["rules"]}


@pytest.mark.parametrize(("alert", "scene"), _PLAYS)
def test_what_a_scene_carries_out_is_the_cure_on_its_page(alert: str, scene: Scene) -> None:
    """A scene has no cure of its own: it chooses blocks of its page, and must find each of them there."""
    commands = scene.commands(alert)

    assert commands
    assert set(scene.machine) <= set(commands)
    # Everything else the processes of a test can do.
    assert all(command.startswith("sudo ") for command in scene.machine)
    assert not [command for command in commands if command.startswith("sudo ") and command not in scene.machine]


@pytest.mark.parametrize("page", sorted(page.stem for page in RUNBOOKS.glob("*.md")))
def test_every_cure_has_commands_for_compose_and_for_kubernetes(page: str) -> None:
    cures = cures_of(page)

    assert cures
    for cure in cures:
        assert cure.for_compose, cure
        assert cure.for_kubernetes, cure


def test_the_pages_are_those_of_the_scenes() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == set(SCENES)
