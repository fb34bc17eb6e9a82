"""Say in plain words why an HTTP exchange failed."""

import http.client
import ssl

from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    IncompleteRead,
    InvalidChunkLength,
    LocationParseError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

__all__ = ["failure_text", "speaks_no_http"]


def failure_text(failure: BaseException) -> str:
    """Return why the exchange failed. The library's own texts name its classes, and retries that nobody asked for."""
    while isinstance(failure, MaxRetryError) and failure.reason is not None:
        failure = failure.reason
    if isinstance(failure, NameResolutionError):
        return f"the name {failure.conn.host} cannot be resolved: {_system_text(failure)}"
    if isinstance(failure, NewConnectionError):
        return f"cannot connect to {failure.conn.host}, port {failure.conn.port}: {_system_text(failure)}"
    if isinstance(failure, ConnectTimeoutError):
        return "the server did not accept the connection in time"
    if isinstance(failure, ReadTimeoutError):
        return "the server did not answer in time"
    if isinstance(failure, SSLError):
        return _tls_text(failure)
    if isinstance(failure, LocationParseError):
        return f"the URL is not valid: {failure.location}"
    if isinstance(failure, DecodeError):
        return f"the body is not what its Content-Encoding says: {failure.args[-1]}"
    if isinstance(failure, ProtocolError):
        return _protocol_text(failure)
    return str(failure)


def _system_text(failure: NewConnectionError) -> str:
    cause = failure.__cause__
    return str(cause.strerror) if isinstance(cause, OSError) and cause.strerror else str(cause)


def _tls_text(failure: SSLError) -> str:
    cause = failure.args[0] if failure.args else failure
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"TLS failed: the certificate is not accepted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
        return "the server does not speak TLS at this port: use http://"
    return f"TLS failed: {cause}"


def speaks_no_http(failure: BaseException) -> bool:
    """Return whether the server answered something that is no HTTP, such as the end of a TLS handshake."""
    cause = failure.args[-1] if isinstance(failure, ProtocolError) and failure.args else None
    return isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, http.client.RemoteDisconnected)


def _protocol_text(failure: ProtocolError) -> str:
    cause = failure.args[-1] if failure.args else failure
    if isinstance(cause, http.client.RemoteDisconnected):
        return "the server closed the connection without an answer"
    if isinstance(cause, http.client.BadStatusLine):
        return f"the server does not speak HTTP: its answer begins with {str(cause).strip()[:100]!r}"
    if isinstance(cause, InvalidChunkLength):
        return "the body ended early: a part of it has an invalid length"
    if isinstance(cause, IncompleteRead) and cause.expected is not None:
        return f"the body ended early: {cause.partial} bytes came, {cause.expected} more were announced"
    if isinstance(cause, http.client.IncompleteRead):
        return "the body ended early"
    return str(cause.strerror) if isinstance(cause, OSError) and cause.strerror else str(cause)
