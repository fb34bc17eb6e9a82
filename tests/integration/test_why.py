"""Who ``dagway why`` says that it is, and where it asks."""

import base64
import json
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server

from services.cli import cli

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BASIC = f"Basic {base64.b64encode(b'ann:s3cret').decode()}"


class Gateway:
    """Notes who asks, and knows one run, which waits for nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._server = make_server("127.0.0.1", 0, self._answer)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        self.asked.append(environ.get("HTTP_AUTHORIZATION", ""))
        start_response("200 OK", [("Content-Type", "application/json")])
        run = {"name": "a", "dagRunId": "r1", "statusLabel": "running", "nodes": []}
        return [json.dumps({"dagRunDetails": run}).encode()]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        ((), {}, ""),
        (("--token", "t"), {"DAGWAY_AUTH_TOKEN": "other"}, "Bearer t"),
        ((), {"DAGWAY_AUTH_TOKEN": "t"}, "Bearer t"),
        ((), {"DAGWAY_AUTH_BASIC_USERNAME": "ann", "DAGWAY_AUTH_BASIC_PASSWORD": "s3cret"}, BASIC),
        (("--auth-basic-username", "ann", "--auth-basic-password", "s3cret"), {}, BASIC),
    ],
)
def test_it_says_who_asks(gateway: Gateway, args: tuple[str, ...], env: dict[str, str], said: str) -> None:
    told = CliRunner(env=env).invoke(cli, ["why", "a", "r1", "--url", f"http://{gateway.address}", *args])

    assert told.output == "a/r1 is running and waits for nothing\n"
    assert gateway.asked == [said]


def test_an_address_needs_no_scheme(gateway: Gateway) -> None:
    assert CliRunner().invoke(cli, ["why", "a", "r1", "--url", gateway.address]).exit_code == 0
