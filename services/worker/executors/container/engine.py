"""A client of the container engine, through the Docker API."""

import math
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from services.worker.executors.base import StepIO
from services.worker.executors.cancel_scope import CancelScope
from services.worker.executors.container.engine_cleanup import DEFAULT_ENGINE, KILL, cleanup_argv
from services.worker.executors.container.spec import ContainerSpec, auth_for
from shared.errors import DagwayError, InvalidInput
from shared.http_failures import failure_text
from shared.language.patterns import compile_pattern
from shared.language.steps.requirements import REQUIREMENTS

try:
    import docker
    from docker.auth import resolve_repository_name
    from docker.errors import (
        APIError,
        DockerException,
        ImageNotFound,
        NotFound,
        create_api_error_from_http_exception,
    )
    from docker.utils import parse_repository_tag
    from docker.utils.ports import build_port_bindings
    from docker.utils.socket import STDOUT
    from requests import HTTPError as RequestsHTTPError
    from requests import RequestException
except ImportError as error:
    raise InvalidInput(f"container steps need {REQUIREMENTS['container']}") from error

__all__ = ["MARK", "Engine", "EngineError"]

MARK = "dagway.attempt"
"""A label of every container: the mark of the attempt or, for a run's container, of the worker that created it."""
_ENV_MARK = "DAGWAY_EXEC"
_READY_S = 120.0
_POLL_S = 0.1
_VISIBLE_S = 5.0
_CONFLICT = 409
_FRAME = struct.Struct(">BxxxL")
"""The head of a piece of output: the number of its stream, and its bytes (Docker API, ``ContainerAttach``)."""
_PIECE = 64 * 1024
_KEEP_ALIVE = ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"]


class EngineError(DagwayError):
    """The container engine refuses a request, or cannot be reached."""


@contextmanager
def _engine_errors() -> Iterator[None]:
    try:
        yield
    except APIError as error:
        raise EngineError(f"container engine: {error.explanation or error}") from error
    except DockerException as error:
        raise EngineError(f"container engine: {error}") from error
    except (RequestException, HTTPError) as error:
        cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
        raise EngineError(f"container engine: {failure_text(cause)}") from error


def _innermost(error: BaseException) -> str:
    """Return the text of the first cause, which says more than those of the libraries on the way."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error.strerror) if isinstance(error, OSError) and error.strerror else str(error)


class Engine:
    """A connection to the engine that ``DOCKER_HOST`` names. Safe to use from two threads."""

    def __init__(self, host: Mapping[str, str]) -> None:
        self._url = host.get("DOCKER_HOST") or DEFAULT_ENGINE
        try:
            self._client = docker.DockerClient.from_env(environment=dict(host), timeout=60)
        except DockerException as error:
            why = f"cannot connect to {self._url}: {_innermost(error)}"
            raise EngineError(f"container engine: {why}; start Docker or Podman, or set DOCKER_HOST") from error
        self._api = self._client.api

    def close(self) -> None:
        self._client.close()

    def pull(self, spec: ContainerSpec, auths: Any, cancel_scope: CancelScope) -> None:
        """Pull the image, unless the pull policy is ``never``, or ``missing`` and the engine has the image."""
        if spec.pull == "never":
            return
        with _engine_errors():
            if spec.pull == "missing":
                try:
                    self._api.inspect_image(spec.image)  # type: ignore[no-untyped-call]
                except ImageNotFound:
                    pass
                else:
                    return
            repository, tag = parse_repository_tag(spec.image)
            registry, _ = resolve_repository_name(repository)
            progress = self._api.pull(
                repository,
                tag or "latest",
                stream=True,
                decode=True,
                auth_config=auth_for(registry, auths),
                platform=spec.platform or None,
            )
            for item in progress:
                cancel_scope.check()
                if "error" in item:
                    raise EngineError(f"cannot pull {spec.image}: {item['error']}")

    def create(
        self, name: str, spec: ContainerSpec, words: list[str] | None, labels: dict[str, str], *, background: bool
    ) -> str:
        """Create a container that runs ``words``, and return its id.

        A ``background`` container runs its ``startup`` instead, and ``execute`` runs commands in the container.
        """
        entrypoint = None
        if background and spec.startup in ("", "keepalive"):
            entrypoint, words = _KEEP_ALIVE, None
        elif background and spec.startup == "command":
            words = list(spec.command)
        bindings = build_port_bindings(list(spec.ports))
        with _engine_errors():
            host = self._api.create_host_config(
                binds=list(spec.volumes) or None,
                port_bindings=bindings or None,
                network_mode=spec.network or None,
                restart_policy={"Name": spec.restart_policy} if spec.restart_policy else None,
            )
            _override(host, spec.raw.get("host", {}))
            config = self._api.create_container_config(
                spec.image,
                command=words or [],
                entrypoint=entrypoint,
                environment=spec.env or None,
                user=spec.user or None,
                working_dir=spec.working_dir or None,
                ports=_exposed(bindings) or None,
                host_config=host,
                labels=labels,
            )
            # Settings that a step cannot override: what the container runs, and the labels that identify it.
            ours = {"image", "labels", *(("cmd",) if words else ()), *(("entrypoint", "cmd") if background else ())}
            given = spec.raw.get("container", {})
            _override(config, {word: value for word, value in given.items() if word not in ours})
            if network := spec.raw.get("network"):
                config["NetworkingConfig"] = network
            created = self._api.create_container_from_config(config, name, spec.platform or None)  # type: ignore[no-untyped-call]
        return str(created["Id"])

    def run_attached(self, container: str, cancel_scope: CancelScope, io: StepIO) -> int:
        """Start a container, copy its output to the step's output and return its exit code."""
        with _engine_errors():
            # logs=0: a busy engine would read earlier output only after the start, so all output would be copied twice.
            wanted = {"stdout": 1, "stderr": 1, "logs": 0, "stream": 1}
            with self._stream(f"/containers/{container}/attach", params=wanted) as output:
                self._api.start(container)
                _copy(output, cancel_scope, io)
            return int(self._api.wait(container)["StatusCode"])

    def start_ready(self, container: str, spec: ContainerSpec, cancel_scope: CancelScope) -> None:
        """Start a container and wait until it is ready, as its ``waitFor`` and ``logPattern`` define."""
        with _engine_errors():
            self._api.start(container)
            self._await_ready(container, spec, cancel_scope)

    def ensure(
        self, name: str, spec: ContainerSpec, labels: dict[str, str], mark: str, cancel_scope: CancelScope
    ) -> None:
        """Create and start the run's container, unless it runs. Concurrent calls get the same container.

        ``labels`` identify the run, ``mark`` identifies the worker that created the container.

        Raises:
            EngineError: a container that does not belong to the run has the name, or another error of the engine.
        """
        try:
            self.create(name, spec, None, {**labels, MARK: mark}, background=True)
        except EngineError as error:
            if not _is_taken(error):
                raise
        with _engine_errors():
            found = self._labels(name)
            if any(found.get(key) != value for key, value in labels.items()):
                raise EngineError(
                    f"another container has the name {name!r}, and does not belong to this run: choose another name"
                )
            self._api.start(name)
            self._await_ready(name, spec, cancel_scope)

    def is_running(self, container: str) -> bool:
        """Whether the container exists and runs."""
        with _engine_errors():
            try:
                return bool(self._api.inspect_container(container)["State"]["Running"])
            except NotFound:
                return False

    def _labels(self, name: str) -> dict[str, str]:
        """Return a container's labels.

        Waits for the container: its name is already taken a moment before it can be inspected.
        """
        give_up = time.monotonic() + _VISIBLE_S
        while True:
            try:
                return dict(self._api.inspect_container(name)["Config"]["Labels"] or {})
            except NotFound:
                if time.monotonic() > give_up:
                    raise
            threading.Event().wait(_POLL_S)

    def _await_ready(self, container: str, spec: ContainerSpec, cancel_scope: CancelScope) -> None:
        give_up = time.monotonic() + _READY_S
        pause = threading.Event()
        while (began := time.monotonic()) < give_up:
            cancel_scope.check()
            found = self._api.inspect_container(container)
            state = found["State"]
            if state["Status"] in ("exited", "dead"):
                raise EngineError(f"the container ended before it was ready: exit code {state['ExitCode']}")
            health = (state.get("Health") or {}).get("Status", "healthy")
            healthy = spec.wait_for != "healthy" or health in ("healthy", "none", "")
            if state["Running"] and healthy and self._logged(container, found, spec.log_pattern, cancel_scope):
                return
            # Each look reads the log from its beginning: a long one is looked at less often.
            pause.wait(max(_POLL_S, time.monotonic() - began))
        raise EngineError(f"the container was not ready within {_READY_S:g}s (see waitFor and logPattern)")

    def _logged(self, container: str, found: Mapping[str, Any], pattern: str, cancel_scope: CancelScope) -> bool:
        """Whether a line of the container's log matches. Reads no further than that: a log may have many gigabytes."""
        if not pattern:
            return True
        # Many lines are searched at once.
        search = compile_pattern(f"(?m){pattern}").search
        wanted = {"stdout": 1, "stderr": 1, "follow": 0, "tail": "all"}
        lines = {STDOUT: b""}
        with self._stream(f"/containers/{container}/logs", "GET", params=wanted, timeout=self._api.timeout) as output:
            for number, data in _raw_pieces(output) if found["Config"]["Tty"] else _pieces(output):
                cancel_scope.check()
                whole, end, rest = (lines.get(number, b"") + data).rpartition(b"\n")
                if end and search(_as_text(whole)):
                    return True
                # Of an endless line only the end is kept.
                lines[number] = rest[-_PIECE:]
        return any(search(_as_text(rest)) for rest in lines.values())

    def execute(
        self, container: str, words: list[str], spec: ContainerSpec, mark: str, *, cancel_scope: CancelScope, io: StepIO
    ) -> int:
        """Run a command inside a running container and return its exit code."""
        with _engine_errors():
            created = self._api.exec_create(
                container,
                words,
                environment={**spec.env, _ENV_MARK: mark},
                user=spec.user,
                workdir=spec.working_dir or None,
            )
            with self._stream(f"/exec/{created['Id']}/start", json={"Detach": False, "Tty": False}) as output:
                _copy(output, cancel_scope, io)
            pause = threading.Event()
            # A command may close its output before it ends.
            while (state := self._api.exec_inspect(created["Id"]))["Running"]:
                cancel_scope.check()
                pause.wait(_POLL_S)
            return int(state["ExitCode"] or 0)

    @contextmanager
    def _stream(
        self, path: str, method: str = "POST", *, timeout: float | None = None, **request: Any
    ) -> Iterator[HTTPResponse]:
        """Ask for a stream of output.

        The sockets that the library gives for this lack what it has read together with the head of the answer: on a
        busy machine all that a short command writes.
        """
        url = f"{self._api.base_url}/v{self._api.api_version}{path}"
        with self._api.request(method, url, stream=True, timeout=timeout, **request) as answer:
            try:
                answer.raise_for_status()
            except RequestsHTTPError as error:
                create_api_error_from_http_exception(error)
            yield answer.raw

    def stop(self, container: str, signal: str, grace_s: float) -> None:
        """Send the signal to a container, wait up to ``grace_s`` seconds (at least 1) for its end, then kill it."""
        with _engine_errors():
            with suppress(APIError, OSError):  # It has ended, or still runs after the signal.
                self._api.kill(container, signal)
                self._api.wait(container, timeout=math.ceil(grace_s) or 1)
            with suppress(APIError, OSError):
                self._api.kill(container, "KILL")

    def end_inside(self, container: str, mark: str, signal: str, grace_s: float) -> None:
        """End the processes that ``execute`` started: send the signal, then SIGKILL after ``grace_s`` at most.

        The container keeps running. It must contain ``sh`` and ``grep``.
        """
        give_up = time.monotonic() + grace_s
        pause = threading.Event()
        with _engine_errors():
            while self._signal_inside(container, mark, signal) and time.monotonic() < give_up:
                signal = "0"
                pause.wait(_POLL_S)
            self._signal_inside(container, mark, "KILL")

    def _signal_inside(self, container: str, mark: str, signal: str) -> bool:
        """Send the signal to the processes with the mark; return whether any such process exists."""
        created = self._api.exec_create(container, ["sh", "-c", KILL, "dagway", mark, signal])
        self._api.exec_start(created["Id"])
        return int(self._api.exec_inspect(created["Id"])["ExitCode"] or 0) == 0

    def remove(self, container: str, labels: Mapping[str, str]) -> None:
        """Kill and remove a container with its anonymous volumes, if it exists and has these labels."""
        with _engine_errors():
            try:
                found = self._api.inspect_container(container)["Config"]["Labels"] or {}
                if any(found.get(name) != value for name, value in labels.items()):
                    return  # A different container has the name.
                with suppress(APIError):  # Kill first: Podman's removal would send TERM and wait.
                    self._api.kill(container, "KILL")
                self._api.remove_container(container, force=True, v=True)
            except NotFound:
                return
            except APIError as error:
                if error.status_code != _CONFLICT:  # Conflict: another client is removing the container now.
                    raise

    def removal_argv(self, container: str, mark: str) -> list[str]:
        """Return the command line that the guardian runs to remove a container if the worker dies."""
        return cleanup_argv({"url": self._url, "remove": container, "mark": mark})

    def kill_argv(self, container: str, mark: str) -> list[str]:
        """Return the command line that the guardian runs to end the processes of ``execute`` if the worker dies."""
        return cleanup_argv({"url": self._url, "container": container, "mark": mark})


def _is_taken(error: EngineError) -> bool:
    """Whether the error means that the container's name is taken. Podman says it only in the text of a 500."""
    cause = error.__cause__
    return isinstance(cause, APIError) and (cause.status_code == _CONFLICT or "already in use" in str(error))


def _exposed(bindings: Mapping[str, Any]) -> list[Any]:
    return [tuple(port.split("/")) if "/" in port else port for port in bindings]


def _copy(output: HTTPResponse, cancel_scope: CancelScope, io: StepIO) -> None:
    """Copy a container's output to the step's stdout and stderr until it ends or ``cancel_scope`` is cancelled."""
    with socket.socket(fileno=os.dup(output.fileno())) as sock:
        cancel_scope.guard(sock)
    for number, data in _pieces(output):
        cancel_scope.write(io.stdout if number == STDOUT else io.stderr, data)


def _pieces(output: HTTPResponse) -> Iterator[tuple[int, bytes]]:
    """Yield the pieces of a container's output, each with the number of its stream."""
    while len(head := output.read(_FRAME.size)) == _FRAME.size:
        number, left = _FRAME.unpack(head)
        while left and (data := output.read(min(left, _PIECE))):
            yield number, data
            left -= len(data)


def _as_text(lines: bytes) -> str:
    """Return lines of a log without the carriage returns that a terminal puts before line ends."""
    return lines.replace(b"\r\n", b"\n").removesuffix(b"\r").decode(errors="replace")


def _raw_pieces(output: HTTPResponse) -> Iterator[tuple[int, bytes]]:
    """Yield the pieces of the output of a container with a terminal, which has one stream without frames."""
    while data := output.read(_PIECE):
        yield STDOUT, data


def _override(known: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Override the settings ``known`` by ``given``, which the user wrote with the Docker API's names.

    The names in ``given`` are in lower case; those in ``known`` match in any case.
    """
    for name in [name for name in known if name.lower() in given]:
        del known[name]
    known.update(given)
