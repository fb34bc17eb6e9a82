"""The worker selector of a stored spec equals that of the loaded DAG."""

from collections.abc import Mapping

import pytest

from shared.language.load import load
from shared.language.snapshot import make_snapshot
from shared.language.stored_selector import stored_selector

STEPS = "steps: ['true']\n"
OWN = 'workerSelector: {gpu: "true"}\n' + STEPS


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        (STEPS, {}),
        (OWN, {"gpu": "true"}),
        (make_snapshot(STEPS, "env: [A=1]"), {}),
        (make_snapshot(STEPS, "workerSelector: {zone: eu}"), {"zone": "eu"}),
        (make_snapshot(OWN, "workerSelector: {zone: eu}"), load(OWN, base="workerSelector: {zone: eu}").dag),
        (make_snapshot(OWN, selector={"worker-pool": "etl"}), {"worker-pool": "etl"}),
        ("# no workerSelector\n" + STEPS, {}),
        ("worker_selector: {gpu: 'true'}\nsteps:\n  - run: 'true'\n", {"gpu": "true"}),
        ("workerSelector: [", {}),
    ],
)
def test_the_selector_of_a_stored_text(text: str, selector: object) -> None:
    wanted = selector if isinstance(selector, Mapping) else getattr(selector, "worker_selector", None)

    assert stored_selector(text) == wanted
