"""Which workers satisfy a selector, and which broker queue holds its tasks."""

import pytest

from shared.admission.workers import satisfies
from shared.transport.base import BrokerQueue, Durability, task_queue
from shared.transport.topology import known_queue


@pytest.mark.parametrize(
    ("labels", "selector", "fits"),
    [
        ({}, {}, True),
        ({"gpu": "1", "region": "eu"}, {"gpu": "1"}, True),
        ({"gpu": "1"}, {"gpu": "2"}, False),
        ({"gpu": "1"}, {"region": "eu"}, False),
        ({}, {"worker-pool": "default"}, True),
        ({"worker-pool": "team"}, {}, False),
        ({"worker-pool": "team", "gpu": "1"}, {"gpu": "1"}, False),
        ({"worker-pool": "team", "gpu": "1"}, {"worker-pool": "team", "gpu": "1"}, True),
        ({"worker-pool": "team"}, {"worker-pool": "team", "gpu": "1"}, False),
        ({"gpu": "1"}, {"worker-pool": "team"}, False),
    ],
)
def test_a_selector_fits_workers_of_its_own_pool_only(
    labels: dict[str, str], selector: dict[str, str], fits: bool
) -> None:
    assert satisfies(labels, selector) is fits


def test_the_name_of_a_queue_is_as_short_as_the_broker_wants_it() -> None:
    longest = {"worker-pool": "p" * 40, "a": "v" * (255 - len("dagway.tasks..a=") - 40)}
    longer, other = {**longest, "a": longest["a"] + "v"}, {**longest, "a": longest["a"] + "w"}

    names = [task_queue(selector).name for selector in (longest, longer, other)]
    assert len(names[0]) == 255
    assert names[0].endswith("vvv")
    assert all(len(name) < 255 and name.startswith(f"dagway.tasks.{'p' * 40}.sha256:") for name in names[1:])
    assert names[1] != names[2]


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        ({}, "dagway.tasks.default.any"),
        ({"worker-pool": "default"}, "dagway.tasks.default.any"),
        ({"region": "eu", "gpu": "1"}, "dagway.tasks.default.gpu=1,region=eu"),
        ({"worker-pool": "team"}, "dagway.tasks.team.any"),
        ({"worker-pool": "team", "gpu": "1"}, "dagway.tasks.team.gpu=1"),
    ],
)
def test_the_queues_of_a_pool_have_a_common_beginning(selector: dict[str, str], name: str) -> None:
    assert task_queue(selector) == BrokerQueue(name, Durability.REPRODUCIBLE) == known_queue(name)
