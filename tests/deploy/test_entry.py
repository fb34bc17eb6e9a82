"""How long what is in front of the gateway lets a request take: the Ingress and the HTTPRoute."""

from typing import Any

import pytest

from services.api.routes.events import _LIFETIME_S, _PING_S
from services.api.routes.starts import _MAX_WAIT_S
from tests.deploy.chart import Refused, render
from tests.deploy.manifests import custom_kinds, manifest_set, of_kind
from tests.harness.needs import need

_READ_TIMEOUT = "nginx.ingress.kubernetes.io/proxy-read-timeout"


def _route(**values: str) -> Any:
    objects = render({"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}], **values}})
    return next(of_kind(objects, "HTTPRoute"))["spec"]["rules"][0]


@pytest.mark.parametrize("name", ["prod-rendered", "everything-chart"])
def test_the_ingress_waits_longer_than_a_start_and_a_stream_take(name: str) -> None:
    if not name.endswith("-chart"):
        need("kubectl")
    (ingress,) = of_kind(manifest_set(name), "Ingress")

    assert int(ingress["metadata"]["annotations"][_READ_TIMEOUT]) > max(_MAX_WAIT_S, _LIFETIME_S + _PING_S)


def test_the_route_says_how_long_a_request_may_take_only_if_told_to() -> None:
    """Some Gateways refuse a route that says anything about it; others end requests too early if it says nothing."""
    assert "timeouts" not in _route()
    assert _route(requestTimeout="0s")["timeouts"] == {"request": "0s"}
    (route,) = of_kind(custom_kinds("everything-chart"), "HTTPRoute")
    assert route["spec"]["rules"][0]["timeouts"] == {"request": "0s"}


@pytest.mark.parametrize("wrong", ["90", "1.5s", "0s0"])
def test_a_time_that_the_gateway_api_does_not_know_is_refused(wrong: str) -> None:
    with pytest.raises(Refused, match="requestTimeout"):
        _route(requestTimeout=wrong)
