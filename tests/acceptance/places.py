"""The servers that some cases connect to. One set serves a whole test module."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.counterparts import HttpCounterpart, MailCounterpart, SshCounterpart, certificate
from tests.harness.engines import DockerEngine

__all__ = ["Places", "open_places"]


@dataclass(frozen=True)
class Places:
    """The running servers."""

    http: HttpCounterpart
    mail: MailCounterpart
    post: MailCounterpart
    """A mail server with TLS and passwords."""
    ca_file: str
    ssh: SshCounterpart
    engine: DockerEngine

    def fill(self, spec: str) -> str:
        """Replace ``{http}``, ``{smtp}``, ``{post}`` and ``{ssh}`` in a spec by the servers' addresses."""
        ssh = f"host: 127.0.0.1, port: {self.ssh.port}, user: {self.ssh.user}, key: {self.ssh.key}"
        post = f"host: localhost, port: {self.post.port}, username: {self.post.user}, caFile: {self.ca_file}"
        return (
            spec.replace("{http}", self.http.url)
            .replace("{mail_port}", str(self.mail.port))
            .replace("{smtp}", f"{{host: 127.0.0.1, port: {self.mail.port}}}")
            .replace("{post}", f"{{{post}, password: '${{P}}'}}")
            .replace("{ssh}", f"{{{ssh}, knownHostFile: {self.ssh.known_hosts}}}")
        )


@contextmanager
def open_places(folder: Path) -> Iterator[Places]:
    """Start all servers."""
    with ExitStack() as stack:
        tls = certificate(folder)
        (folder / "ssh").mkdir()
        # A socket's path must be short.
        docker = stack.enter_context(tempfile.TemporaryDirectory(prefix="dwd"))
        yield Places(
            http=stack.enter_context(HttpCounterpart()),
            mail=stack.enter_context(MailCounterpart(None)),
            post=stack.enter_context(MailCounterpart(tls)),
            ca_file=tls[0],
            ssh=stack.enter_context(SshCounterpart(folder / "ssh")),
            engine=stack.enter_context(DockerEngine(Path(docker))),
        )
