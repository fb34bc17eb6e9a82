"""A request that waits for a run of a remote node takes the place of one that waits here, and no other, meanwhile."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from services.api.followers import Followers
from services.api.problems import Problem
from services.api.settings import RemoteNode
from services.api.views.forwarding import forward
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.counterparts import HttpCounterpart


class Gateway:
    """Forwards requests to a node, with one place for those that wait. ``asked``: requests at the node meanwhile."""

    def __init__(self, node: HttpCounterpart, transport: EmbeddedTransport) -> None:
        self._node = node
        self.followers = Followers(transport, limit=1)
        self.asked: list[int] = []

    @contextmanager
    def _without_place(self) -> Iterator[None]:
        with pytest.raises(Problem):
            self.followers.add()
        before = len(self._node.requests)
        yield
        self.asked.append(len(self._node.requests) - before)

    def forward(self, **query: str) -> int:
        node = RemoteNode(name="far", api_base_url=f"http://127.0.0.1:{self._node.port}/text")
        return forward(
            node,
            "GET",
            "/a",
            query=list(query.items()),
            headers={},
            body=b"",
            followers=self.followers,
            without_place=self._without_place,
        ).status


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with HttpCounterpart() as node, closing(EmbeddedTransport(None)) as transport:
        yield Gateway(node, transport)


def test_a_forwarded_request_that_waits_has_no_place_while_the_node_is_asked(gateway: Gateway) -> None:
    assert gateway.forward(wait="60s") == 200

    assert gateway.asked == [1]
    gateway.followers.add().close()  # the place is free again


def test_a_forwarded_request_that_does_not_wait_keeps_its_place(gateway: Gateway) -> None:
    assert gateway.forward() == 200

    assert gateway.asked == []


def test_a_forwarded_request_is_sent_although_too_many_wait(gateway: Gateway) -> None:
    with closing(gateway.followers.add()):
        assert gateway.forward(wait="60s") == 200

    assert gateway.asked == []
