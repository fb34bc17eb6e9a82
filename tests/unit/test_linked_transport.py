"""The worker's end of the link of `dagway up`."""

import socket
from concurrent.futures import Future

import pytest

from shared.errors import BrokerUnavailable
from shared.transport.base import EVENTS, Outgoing
from shared.transport.embedded.frames import Kind, encode_frame
from shared.transport.embedded.linked import LinkedTransport


def test_an_answer_that_comes_while_the_link_closes_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    here, there = socket.socketpair()
    link = LinkedTransport(there)
    sent = link.send(Outgoing(EVENTS, b"report", "r1"))

    def answer(_failed: Future[None]) -> None:
        here.sendall(encode_frame(Kind.DONE, 1, b"", b""))

    sent.add_done_callback(answer)
    link.close()
    here.close()

    assert isinstance(sent.exception(), BrokerUnavailable)
    assert caplog.records == []
