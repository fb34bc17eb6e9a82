"""TLS for executors that connect by themselves, as a step or the DAG's ``smtp`` configures it."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from services.worker.executors.base import Job
from shared.errors import InvalidInput

__all__ = ["tls_context"]


def tls_context(
    job: Job, *, ca_file: str = "", client_cert: str = "", client_key: str = "", verify: bool = True
) -> ssl.SSLContext:
    """Return a context for connections. Relative paths are below the step's directory.

    Raises:
        InvalidInput: a file cannot be read, or the step may not name it. The worker could: its own keys, for example.
        ssl.SSLError: a file has no certificate or key.
    """
    with _named(job, ca_file) as trusted:
        context = ssl.create_default_context(cafile=trusted)
    if client_cert:
        with _named(job, client_cert) as certificate, _named(job, client_key) as key:
            assert certificate is not None  # noqa: S101 - it has a name
            context.load_cert_chain(certificate, key)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def _named(job: Job, text: str) -> Iterator[str | None]:
    """Check a file that the step names; yield the path by which a library is to open it."""
    if not text:
        yield None
        return
    path = job.working_dir / text
    try:
        fd = job.reach.open_to_use(path)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
    try:
        # By the descriptor, as a step could put another file in its place.
        yield f"/dev/fd/{fd}" if job.reach.private else str(path)
    finally:
        os.close(fd)
