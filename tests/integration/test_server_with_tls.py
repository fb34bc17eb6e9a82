"""What the command line and the Python client say of a server if only one side speaks TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagway.client import Client
from dagway.client.errors import ConnectionFailed
from services.cli.errors import GatewayUnreachable
from services.cli.remote.gateway import Gateway, ServerConnection
from tests.harness.authority import Authority


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server that ends each connection as a TLS library does: it alerts, then it closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority("test", tmp_path).certify("127.0.0.1"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve, args=(listening, context), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(listening: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            incoming.write(connection.recv(65536))
            with pytest.raises(ssl.SSLError):
                context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
            connection.sendall(outgoing.read())


def test_the_question_is_whether_it_speaks_tls(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(GatewayUnreachable, match=r"\(is it one with TLS, at https://\?\)"):
        Gateway(ServerConnection(url)).get("/health")
    with Client(url) as client, pytest.raises(ConnectionFailed, match=r"\(is it a server with TLS, at https://\?\)"):
        client.get_health_status()


def test_a_tls_handshake_that_takes_too_long_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that has much to do is slow as well."""
    monkeypatch.setattr("dagway.client.connection._CONNECT_S", 0.2)
    monkeypatch.setattr("dagway.client.blocking.time.sleep", lambda _seconds: None)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        refused = pytest.raises(ConnectionFailed, match=r"\(is it a server without TLS, at http://\?\)")
        with Client(f"https://127.0.0.1:{listening.getsockname()[1]}") as client, refused:
            client.get_health_status()
        listening.accept()[0].close()
        listening.accept()[0].close()
