"""HTTP clients obey the policy for outgoing requests: for names, after redirects, and if a name changes its address."""

import io
import json
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3

from services.api.problems import Problem
from services.api.settings import RemoteNode
from services.api.views import forwarding
from services.api.views.forwarding import forward
from services.worker.inputs import param_schema
from services.worker.inputs.param_schema import apply_schema
from shared.errors import InvalidInput
from shared.language.model import Dag, Step, StepCommand
from shared.outbound import OutboundPolicy
from shared.outbound_http import OutboundDenied, outbound_pool
from tests.harness.authority import Authority
from tests.harness.counterparts import HttpCounterpart
from tests.harness.worker_rig import Rig, command, task


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
        forward(node, "GET", "/dags", query=[], headers={}, body=b"", followers=None, policy="public")  # type: ignore[arg-type]

    assert (refused.value.status, len(server.requests)) == (502, before)


def test_a_remote_node_without_a_trusted_certificate_is_told_nothing(tmp_path: Path) -> None:
    certificate, key = Authority("unknown", tmp_path).certify("127.0.0.1")
    with HttpCounterpart(tls=(str(certificate), str(key))) as false:
        node = RemoteNode(
            name="far", api_base_url=f"https://127.0.0.1:{false.port}/text", is_auth_token=True, auth_token="t"
        )
        with pytest.raises(Problem, match="SSLError") as refused:
            forward(node, "GET", "/dags", query=[], headers={}, body=b"", followers=None)  # type: ignore[arg-type]

        assert (refused.value.status, false.requests) == (502, [])
        trusting = node.model_copy(update={"skip_tls_verify": True})
        answer = forward(trusting, "GET", "/dags", query=[], headers={}, body=b"", followers=None)  # type: ignore[arg-type]
        assert answer.status == 200


def test_a_long_answer_of_a_remote_node_is_not_cut_off_in_silence(
    server: HttpCounterpart, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = RemoteNode(name="far", api_base_url=f"{server.url}/text")
    size = len(forward(node, "GET", "/dags", query=[], headers={}, body=b"", followers=None).content)  # type: ignore[arg-type]
    monkeypatch.setattr(forwarding, "_MAX_ANSWER_BYTES", size - 1)

    with pytest.raises(Problem, match="Node 'far' answered more than") as refused:
        forward(node, "GET", "/dags", query=[], headers={}, body=b"", followers=None)  # type: ignore[arg-type]

    assert refused.value.status == 502


@pytest.mark.parametrize(
    ("told", "details"), [({"outcome": "unknown"}, {"outcome": "unknown"}), ({"setting": "its own"}, {}), ("odd", {})]
)
def test_a_remote_node_that_does_not_know_an_outcome_is_not_said_to_have_refused(
    told: Any, details: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = json.dumps({"code": "service_unavailable", "message": "the broker was lost", "details": told}).encode()
    answer = urllib3.HTTPResponse(io.BytesIO(said), status=503, preload_content=False)
    pool = SimpleNamespace(request=lambda *_, **__: answer)
    monkeypatch.setattr(forwarding, "_pool", lambda *_, **__: pool)
    node = RemoteNode(name="far", api_base_url="http://far.example/api/v2")

    with pytest.raises(Problem, match="the broker was lost") as caught:
        forward(node, "POST", "/dags/a/start", query=[], headers={}, body=b"{}", followers=None)  # type: ignore[arg-type]

    assert (caught.value.status, caught.value.details) == (503, details)


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


def test_a_schema_of_parameters_comes_from_addresses_that_are_allowed_only(
    server: HttpCounterpart, tmp_path: Path
) -> None:
    params = (("P", "1"),)
    assert apply_schema(f"{server.url}/json", params, (tmp_path,), outbound="no-metadata") == params
    for path, why in (
        ("elsewhere/169.254.169.254/latest", r"connecting to 169\.254\.169\.254 is denied: it is a link-local address"),
        ("status/404", "HTTP status 404"),
    ):
        with pytest.raises(InvalidInput, match=f"failed to get JSON schema: .*{why}"):
            apply_schema(f"{server.url}/{path}", params, (tmp_path,), outbound="no-metadata")
    schema = {"properties": {"P": {"$ref": f"{server.url}/elsewhere/169.254.169.254/latest"}}}
    with pytest.raises(InvalidInput, match=r"connecting to 169\.254\.169\.254 is denied"):
        apply_schema(json.dumps(schema), params, (tmp_path,), outbound="no-metadata")
    schema["properties"]["P"]["$ref"] = f"{server.url}/json"
    assert apply_schema(json.dumps(schema), params, (tmp_path,), outbound="no-metadata") == params
    before = len(server.requests)
    dag = Dag(name="d", param_schema=f"{server.url}/json")
    with Rig(tmp_path, outbound="public") as rig:
        options = {"prepare": {"dag": dag.model_dump(mode="json"), "given": ""}}
        finished = rig.run(task(command(), kind="prepare", options=options))

    assert finished.outcome == "broken", "no step of the run begins"
    assert "connecting to 127.0.0.1 is denied: it is not a public address" in finished.error
    assert len(server.requests) == before


def test_a_server_that_sends_a_schema_without_end_does_not_hold_the_run_up(
    server: HttpCounterpart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By its clock, six seconds lie between two pieces of the answer.
    monkeypatch.setattr(param_schema, "time", SimpleNamespace(monotonic=count(step=6).__next__))

    with pytest.raises(InvalidInput, match=r"/drip/: the answer did not arrive within 10 seconds"):
        apply_schema(f"{server.url}/drip/", (), (tmp_path,))
