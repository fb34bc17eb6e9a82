"""HTTP clients obey the policy for outgoing requests: for names, after redirects, and if a name changes its address."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.api.problems import Problem
from services.api.remote_nodes import forward
from services.api.settings import RemoteNode
from shared.language.model import Step, StepCommand
from shared.outbound import OutboundPolicy
from shared.outbound_http import OutboundDenied, outbound_pool
from tests.harness.counterparts import HttpCounterpart
from tests.harness.worker_rig import Rig, task


@pytest.fixture(scope="module")
def server() -> Iterator[HttpCounterpart]:
    with HttpCounterpart() as made:
        yield made


def get(policy: OutboundPolicy, url: str) -> int:
    with outbound_pool(policy) as pool:
        return int(pool.request("GET", url, retries=3).status)


def test_loopback_is_no_metadata_service(server: HttpCounterpart) -> None:
    assert get("any", f"http://127.0.0.1:{server.port}/text/a") == 200
    assert get("no-metadata", f"http://localhost:{server.port}/text/b") == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "[::ffff:127.0.0.1]"])
def test_an_address_that_is_denied_is_not_asked(server: HttpCounterpart, host: str) -> None:
    before = len(server.requests)

    with pytest.raises(OutboundDenied, match=r"is denied: it is not a public address \(DAGWAY_OUTBOUND=public\)"):
        get("public", f"http://{host}:{server.port}/text/denied")

    assert len(server.requests) == before


def test_a_redirect_does_not_lead_to_an_address_that_is_denied(server: HttpCounterpart) -> None:
    with pytest.raises(OutboundDenied, match=r"connecting to 169\.254\.169\.254 is denied: it is a link-local address"):
        get("no-metadata", f"http://127.0.0.1:{server.port}/elsewhere/169.254.169.254/latest")


def test_a_name_that_changes_its_address_is_refused_before_anything_is_sent(
    server: HttpCounterpart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first answer is a public address, the second one is ours."""
    answers = iter(["93.184.216.34", "127.0.0.1"])

    def resolve(_host: str, port: int | None, *_args: Any, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    before = len(server.requests)

    with pytest.raises(OutboundDenied, match=r"rebind\.example \(127\.0\.0\.1\) is denied"):
        get("public", f"http://rebind.example:{server.port}/text/a")

    assert len(server.requests) == before


def test_a_remote_node_at_an_address_that_is_denied_is_not_asked(server: HttpCounterpart) -> None:
    node = RemoteNode(name="far", api_base_url=f"http://127.0.0.1:{server.port}/api/v2")
    before = len(server.requests)

    with pytest.raises(Problem, match="not a public address") as refused:
        forward(node, "GET", "/dags", query=[], headers={}, body=b"", follower=None, policy="public")  # type: ignore[arg-type]

    assert (refused.value.status, len(server.requests)) == (502, before)


@pytest.mark.parametrize("kind", ["http", "chat"])
def test_a_step_says_which_address_is_denied(server: HttpCounterpart, tmp_path: Path, kind: str) -> None:
    url, before = f"{server.url}/v1", len(server.requests)
    llm = {"provider": "local", "model": "m", "baseURL": url}
    step = (
        Step(name="s", type="http", commands=(StepCommand(text=f"GET {url}", argv=("GET", url)),))
        if kind == "http"
        else Step(name="s", type="chat", llm=llm, messages=({"role": "user", "content": "hi"},))
    )
    with Rig(tmp_path, outbound="public") as rig:
        finished = rig.run(task(step))

    assert finished.outcome == "failed"
    assert f"{kind} request failed: connecting to 127.0.0.1 is denied: it is not a public address" in finished.error
    assert len(server.requests) == before
