"""Records of runs with values that no database stores: whoever could write a step could write them."""

from typing import Any

import pytest

from shared.settings.config import Config
from tests.harness.dagu_home import HomeOfDagu
from tests.unit.importing.test_dagu import ONE, SECOND, TWO, brought, check, config, home, results

__all__ = ["config", "home"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"doneCount": 10**20}, "nodes.0.doneCount: Input should be less than"),
        ({"retryCount": -1}, "nodes.0.retryCount: Input should be greater than"),
        ({"finishedAt": "9999-12-31T23:59:59-14:00"}, "nodes.0.finishedAt: Value error, not a time"),
    ],
)
def test_a_run_with_a_value_that_cannot_be_stored_is_refused_alone(
    config: Config, home: HomeOfDagu, value: dict[str, Any], why: str
) -> None:
    home.run("w", "fine", TWO, 4, [ONE, SECOND])
    home.run("w", "odd", TWO, 4, [ONE | value, SECOND])

    runs = results(brought(config, home), "run")

    assert runs["w/fine"] == ("loaded", "")
    assert runs["w/odd"][0] == "refused"
    assert runs["w/odd"][1].startswith(why)


@pytest.mark.parametrize("digits", [20, 5000])
def test_a_number_that_is_no_exit_code_is_none(config: Config, home: HomeOfDagu, digits: int) -> None:
    home.run("w", "odd", TWO, 2, [ONE, SECOND | {"status": 2, "error": f"exit status {'9' * digits}"}])

    assert results(brought(config, home), "run") == {"w/odd": ("loaded", "")}
    check(config)
