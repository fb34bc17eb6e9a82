"""What a command does with https:// in front of a server that speaks no TLS."""

import socket

import pytest

from services.cli.errors import GatewayUnreachable
from services.cli.remote import gateway as sending


def test_a_server_that_speaks_no_tls_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_CONNECT_S", 0.2)
    pauses: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = sending.ServerConnection(f"https://127.0.0.1:{server.getsockname()[1]}")

        with pytest.raises(GatewayUnreachable, match="is it one without TLS"):
            sending.Gateway(connection, pauses.append).get("/dags")

    assert pauses == []
