"""What commands say of a server that accepts connections and answers nothing, or breaks off an answer."""

from typing import NoReturn

import pytest
import urllib3

from services.cli.errors import GatewayUnreachable
from services.cli.remote import gateway as sending
from services.cli.remote.gateway import Gateway, ServerConnection


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://x", "it accepts connections but does not answer"),
        ("https://x", "it accepts connections but does not answer (is it one without TLS, at http://?)"),
    ],
)
def test_a_server_that_does_not_answer_is_said_without_the_words_of_a_library(url: str, said: str) -> None:
    silence = urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("x"), "/", "Read timed out.")

    assert sending._reason(silence, url) == said


def test_a_server_that_has_answered_is_not_suspected_of_speaking_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a gateway that is killed during a rollout."""

    class Broken(urllib3.HTTPResponse):
        def stream(self, *_args: object, **_options: object) -> NoReturn:
            raise urllib3.exceptions.ProtocolError("Response ended prematurely")

    monkeypatch.setattr(urllib3.PoolManager, "request", lambda *_args, **_options: Broken(status=200))
    pieces = Gateway(ServerConnection("http://x")).stream("/events", "")
    assert pieces is not None

    with pytest.raises(GatewayUnreachable) as lost:
        list(pieces)

    assert lost.value.what == "the gateway at http://x cannot be reached: Response ended prematurely"
