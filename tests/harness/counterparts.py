"""Real servers on loopback that steps connect to: an HTTP server, a mail server with TLS, an SSH server."""

import asyncio
import getpass
import gzip
import json
import os
import queue
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.harness.eventually import PATIENCE_S, eventually, free_port
from tests.harness.loopback import Loopback, QuietHandler

__all__ = ["HttpCounterpart", "MailCounterpart", "SshCounterpart", "certificate", "fake_act", "silent_port", "sshd_bin"]


def certificate(folder: Path) -> tuple[str, str]:
    """Create a self-signed certificate for localhost; return the paths of the certificate and its key."""
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*words, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"
    counterpart: "HttpCounterpart"

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        seen = {"method": self.command, "path": parts.path, "query": parse_qs(parts.query), "body": body.decode()}
        self.counterpart.requests.append({**seen, "headers": dict(self.headers)})
        name, _, rest = parts.path.lstrip("/").partition("/")
        getattr(self, f"_do_{name}")(rest, seen)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _do_echo(self, rest: str, seen: dict[str, Any]) -> None:
        self._answer(200, json.dumps({**seen, "rest": rest}).encode(), Content_Type="application/json")

    def _do_same(self, _: str, seen: dict[str, Any]) -> None:
        self._answer(200, seen["body"].encode(), X_Kind="same")

    def _do_json(self, _: str, __: dict[str, Any]) -> None:
        self._answer(200, b'{"a":1}', Content_Type="application/json")

    def _do_text(self, rest: str, _: dict[str, Any]) -> None:
        self._answer(200, f"text {rest}".encode(), X_Kind="text")

    def _do_status(self, rest: str, _: dict[str, Any]) -> None:
        self._answer(int(rest), b"the body")

    def _do_to(self, rest: str, _: dict[str, Any]) -> None:
        self._answer(302, b"", Location="/" + rest)

    def _do_moved(self, rest: str, __: dict[str, Any]) -> None:
        """Redirect with the status and to the path in ``rest``, and set a cookie."""
        status, _, path = rest.partition("/")
        self._answer(int(status), b"", Location=f"/{path}", Set_Cookie="session=1; Path=/")

    def _do_away(self, rest: str, _: dict[str, Any]) -> None:
        self._answer(302, b"", Location=f"http://localhost:{self.counterpart.port}/{rest}")

    def _do_elsewhere(self, rest: str, _: dict[str, Any]) -> None:
        self._answer(302, b"", Location=f"http://{rest}")

    def _do_secured(self, rest: str, _: dict[str, Any]) -> None:
        self._answer(302, b"", Location=f"https://{rest}")

    def _do_short(self, _: str, __: dict[str, Any]) -> None:
        """Announce more bytes than are sent."""
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"abc")
        self.close_connection = True

    def _do_early(self, rest: str, _: dict[str, Any]) -> None:
        """Send these interim responses, such as ``102,103``, before the real one."""
        for status in rest.split(","):
            self.wfile.write(f"HTTP/1.1 {status} Early\r\nLink: </style.css>; rel=preload\r\n\r\n".encode())
        self._answer(200, b"[1]", X_Kind="last")

    def _do_gzip(self, rest: str, _: dict[str, Any]) -> None:
        """Answer with a body in gzip, in two pieces; of ``rest`` bytes, if that is a number."""
        body = gzip.compress(b"first ") + gzip.compress(b"second")
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body[: int(rest)] if rest else body)
        self.close_connection = True

    def _do_silence(self, _: str, __: dict[str, Any]) -> None:
        """Close the connection without an answer."""
        self.close_connection = True

    def _do_flaky(self, rest: str, _: dict[str, Any]) -> None:
        """Answer with an error until the request has arrived ``rest`` times."""
        tries = sum(one["path"].startswith("/flaky") for one in self.counterpart.requests)
        self._answer(503 if tries < int(rest) else 200, b"at last")

    def _do_overloaded(self, _: str, __: dict[str, Any]) -> None:
        """Answer the first request with an error whose body has no end."""
        if len(self.counterpart.requests) == 1:
            self.send_response(503)
            self.end_headers()
            self.close_connection = True
            with suppress(OSError):
                while not self.counterpart.closing.is_set():
                    self.wfile.write(bytes(65536))
        else:
            self._answer(200, b"at last")

    def _do_drip(self, _: str, __: dict[str, Any]) -> None:
        """Send a byte every now and then, without end, so that no single read times out."""
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.counterpart.dripping.set()
        try:
            while not self.counterpart.closing.wait(0.05):
                self.wfile.write(b".")
                self.wfile.flush()
        except OSError:
            self.counterpart.broken.set()
        self.close_connection = True

    def _do_v1(self, _: str, seen: dict[str, Any]) -> None:
        """Answer a chat request: stream the words of the last message back."""
        asked = json.loads(seen["body"])
        words = asked["messages"][-1]["content"].split(" ")
        if asked["model"].startswith("busy"):
            tries = sum(f'"{asked["model"]}"' in one["body"] for one in self.counterpart.requests)
            if tries < 3:
                self._answer(
                    429 if tries == 1 else 503, b"later", Retry_After="30" if "long" in asked["model"] else "0"
                )
                return
        if asked["model"] == "unknown":
            self._answer(404, b'{"error": "no such model"}')
            return
        if asked["model"] == "strange":
            self._answer(200, " ".join(words).encode())
            return
        if not asked["stream"]:
            message = {"role": "assistant", "content": " ".join(words)}
            self._answer(200, json.dumps({"choices": [{"message": message}]}).encode())
            return
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for word in words:
            if word == "HANG":
                self._do_hang()
            delta = {"choices": [{"delta": {"content": word + " ", "reasoning_content": "hm "}}]}
            self.wfile.write(f"data: {json.dumps(delta)}\n\n".encode())
        if "BREAK" not in words:
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _do_hang(self) -> None:
        self.counterpart.dripping.set()
        self.connection.settimeout(30)
        try:
            if not self.connection.recv(1):
                self.counterpart.broken.set()
        except OSError:
            self.counterpart.broken.set()


class HttpCounterpart(Loopback):
    """An HTTP server that records its requests."""

    def __init__(self, tls: tuple[str, str] | None = None) -> None:
        self.requests: list[dict[str, Any]] = []
        self.dripping = threading.Event()
        """Set while an endless answer is being sent."""
        self.broken = threading.Event()
        """Set when the client of an endless answer has disconnected."""
        self.closing = threading.Event()
        super().__init__(type("Handler", (_Handler,), {"counterpart": self}))
        self.url = f"http://127.0.0.1:{self.port}"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://localhost:{self.port}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        super().__exit__(kind, error, trace)


class MailCounterpart:
    """A mail server that requires STARTTLS and a login, and keeps all received mails. It refuses ``unknown@…``."""

    user, password = "robot", "let me in"

    def __init__(self, tls: tuple[str, str] | None) -> None:
        self.mails: queue.SimpleQueue[tuple[list[str], Message]] = queue.SimpleQueue()
        self.taking = threading.Event()
        """While this is cleared, clients that send a mail wait for the reply."""
        self.taking.set()
        self.waiting = threading.Event()
        """Set when a client waits for the reply."""
        context = None
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
        self.port = free_port()
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            tls_context=context,
            require_starttls=tls is not None,
            auth_required=tls is not None,
            authenticator=self._authenticate if tls is not None else None,
            ready_timeout=PATIENCE_S,
        )

    def _authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        given = (self.user.encode(), self.password.encode())
        good = isinstance(data, LoginPassword) and (data.login, data.password) == given
        return AuthResult(success=good, handled=False)

    async def handle_MAIL(  # noqa: N802 - the library's name
        self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        while not self.taking.is_set():
            self.waiting.set()
            await asyncio.sleep(0.02)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        if address.startswith("unknown@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - the library's name
        self.mails.put((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


def sshd_bin() -> str | None:
    """Return the path of the SSH server's program, or ``None`` if it is not installed."""
    return shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))


class SshCounterpart:
    """An OpenSSH server, run by this user. It accepts ``key``, and ``locked``, a key with a passphrase.

    With ``guest`` it also accepts a user with a password and no key. That needs root: the server gets
    its own account files, and the machine's account files are not changed.
    """

    passphrase = "open sesame"
    guest, guest_password = "guest", "let me in, too"

    def __init__(self, folder: Path, *, guest: bool = False) -> None:
        self._folder = folder
        self._guest = guest
        self.port = free_port()
        self.user = getpass.getuser()
        self.key, self.locked = folder / "key", folder / "locked"
        self.known_hosts = folder / "known_hosts"
        self.log = folder / "sshd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        folder = self._folder
        for path, phrase in ((folder / "host", ""), (self.key, ""), (self.locked, self.passphrase)):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-f", str(path)], check=True)
        public = [path.with_suffix(".pub").read_text() for path in (self.key, self.locked)]
        authorized = folder / "authorized_keys"
        authorized.write_text("".join(public))
        authorized.chmod(0o600)
        host_key = (folder / "host.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key}")
        config = folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder}/host\nAuthorizedKeysFile {authorized}\n"
            f"PidFile {folder}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication yes\nPermitRootLogin yes\n"
            "LogLevel VERBOSE\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        words = [sshd_bin() or "sshd", "-D", "-f", str(config), "-E", str(self.log)]
        if self._guest:
            words = [*self._with_guest(), *words]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
        eventually(self._listens)
        return self

    def _with_guest(self) -> list[str]:
        """Return a command prefix: the program after it sees one more user account."""
        words = ["openssl", "passwd", "-6", self.guest_password]
        secret = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
        files = {
            "passwd": f"{self.guest}:x:64999:64999::/tmp:/bin/sh\n",
            "shadow": f"{self.guest}:{secret}:1::::::\n",
        }
        for name, line in files.items():
            (self._folder / name).write_text(Path("/etc", name).read_text() + line)
        mounts = " && ".join(f"mount --bind {self._folder}/{name} /etc/{name}" for name in files)
        return ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)


@contextmanager
def silent_port() -> Iterator[int]:
    """Yield a port that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def fake_act(folder: Path, text: str) -> str:
    """Write a stand-in for the program ``act`` into a new folder; return a PATH that begins with the folder."""
    program = folder / "programs" / "act"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"
