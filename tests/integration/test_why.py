"""The credentials that ``dagway why`` sends, and the URLs it accepts."""

import base64
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server

from services.cli import cli
from tests.harness.loopback import serving

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BASIC = f"Basic {base64.b64encode(b'ann:s3cret').decode()}"


class Gateway:
    """A gateway that records credentials and has one run, which does not wait."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.server = make_server("127.0.0.1", 0, self._answer)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        self.asked.append(environ.get("HTTP_AUTHORIZATION", ""))
        start_response("200 OK", [("Content-Type", "application/json")])
        run = {"name": "a", "dagRunId": "r1", "statusLabel": "running", "nodes": []}
        return [json.dumps({"dagRunDetails": run}).encode()]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    with serving(made.server):
        yield made


@pytest.mark.parametrize(
    ("args", "env", "sent"),
    [
        ((), {}, ""),
        (("--token", "t"), {"DAGWAY_AUTH_TOKEN": "other"}, "Bearer t"),
        ((), {"DAGWAY_AUTH_TOKEN": "t"}, "Bearer t"),
        ((), {"DAGWAY_AUTH_BASIC_USERNAME": "ann", "DAGWAY_AUTH_BASIC_PASSWORD": "s3cret"}, BASIC),
        (("--auth-basic-username", "ann", "--auth-basic-password", "s3cret"), {}, BASIC),
    ],
)
def test_dagway_why_sends_the_credentials(
    gateway: Gateway, args: tuple[str, ...], env: dict[str, str], sent: str
) -> None:
    result = CliRunner(env=env).invoke(cli, ["why", "a", "r1", "--url", f"http://{gateway.address}", *args])

    assert result.output == "a/r1 is running and waits for nothing\n"
    assert gateway.asked == [sent]


def test_the_url_may_omit_its_scheme(gateway: Gateway) -> None:
    assert CliRunner().invoke(cli, ["why", "a", "r1", "--url", gateway.address]).exit_code == 0
