"""The paths of the requests that commands send."""

import pytest

from services.cli.errors import GatewayError
from services.cli.remote.gateway import path


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_is_empty_or_of_dots_makes_no_request_for_something_else(name: str) -> None:
    with pytest.raises(GatewayError, match="cannot be a name or an id"):
        path("dag-runs", name, "latest")


def test_other_names_are_quoted() -> None:
    assert path("dags", "a/../b", "...") == "/dags/a%2F..%2Fb/..."
