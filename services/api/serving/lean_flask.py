"""Flask without what no request here needs and each would pay for: sessions, blueprints, hosts, hooks looked up."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import Headers
from werkzeug.routing import MapAdapter

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["LeanFlask", "WholeResponse"]


class _NoSession(SessionInterface):
    """One session for all, which nobody can write to."""

    _null = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask's signature
        return self._null


class LeanFlask(Flask):
    """``begin`` is asked before a request and may answer it, ``finish`` completes the answer, ``over`` is told the end.

    What others register by ``before_request`` is done after ``begin``. ``after_request`` and ``teardown_request``
    register what is never called, and ``request_tearing_down`` is not sent.
    """

    session_interface = _NoSession()

    def __init__(
        self,
        name: str,
        *,
        begin: Callable[[], Response | None],
        finish: Callable[[Response], Response],
        over: Callable[[], None],
    ) -> None:
        super().__init__(name, static_folder=None)
        self._begin, self._finish, self._over = begin, finish, over

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself: none is a coroutine, and Flask asks that four times a request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the operation by method and path: no host is asked for and nothing is redirected."""
        if request is None:
            return super().create_url_adapter(request)
        return self.url_map.bind("", request.root_path, path_info=request.path, default_method=request.method)

    def preprocess_request(self) -> ResponseReturnValue | None:
        answer = self._begin()
        return super().preprocess_request() if answer is None and self.before_request_funcs else answer

    def process_response(self, response: Response) -> Response:
        return self._finish(response)

    def do_teardown_request(self, exc: BaseException | None = None) -> None:  # noqa: ARG002 - Flask's signature
        self._over()


class WholeResponse(Response):
    """An answer that has its bytes and all its headers: Werkzeug would copy them to look for what is missing."""

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:  # noqa: ARG002 - Werkzeug's signature
        return self.headers
