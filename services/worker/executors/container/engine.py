"""The container engine: what a step asks of it, in the words of the Docker API."""

import json
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from services.worker.executors.base import StepIO
from services.worker.executors.container.engine_cleanup import KILL
from services.worker.executors.container.spec import ContainerSpec, auth_for
from services.worker.executors.inline import Line
from shared.errors import DagwayError, InvalidInput
from shared.language.patterns import compile_pattern
from shared.language.steps.requirements import REQUIREMENTS

try:
    import docker
    from docker.auth import resolve_repository_name
    from docker.errors import APIError, DockerException, ImageNotFound, NotFound
    from docker.utils import parse_repository_tag
    from docker.utils.ports import build_port_bindings
    from docker.utils.socket import STDOUT, frames_iter
except ImportError as error:
    raise InvalidInput(f"container steps need {REQUIREMENTS['container']}") from error

__all__ = ["MARK", "Engine", "EngineFault"]

MARK = "dagway.attempt"
"""Label that tells whose container it is."""
_ENV_MARK = "DAGWAY_EXEC"
_READY_S = 120.0
_LOOK_S = 0.1
_VISIBLE_S = 5.0
_DEFAULT = "unix:///var/run/docker.sock"
_CONFLICT = 409
_KEEP_ALIVE = ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"]


class EngineFault(DagwayError):
    """The engine refused, or cannot be reached."""


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except APIError as error:
        raise EngineFault(f"container engine: {error.explanation or error}") from error
    except DockerException as error:
        raise EngineFault(f"container engine: {error}") from error


class Engine:
    """A connection to the engine that ``DOCKER_HOST`` names. Safe to use from two threads."""

    def __init__(self, host: Mapping[str, str]) -> None:
        self._url = host.get("DOCKER_HOST") or _DEFAULT
        with _told():
            self._client = docker.DockerClient.from_env(environment=dict(host), timeout=60)
        self._api = self._client.api

    def close(self) -> None:
        self._client.close()

    def pull(self, spec: ContainerSpec, auths: Any, line: Line) -> None:
        """See that the image is there, as the pull policy says."""
        if spec.pull == "never":
            return
        with _told():
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
                line.on_cut(lambda: None)
                if "error" in item:
                    raise EngineFault(f"cannot pull {spec.image}: {item['error']}")

    def create(
        self, name: str, spec: ContainerSpec, words: list[str] | None, labels: dict[str, str], *, background: bool
    ) -> str:
        """Create a container and return its id. ``background``: it is there to be worked in."""
        entrypoint = None
        if background and spec.startup in ("", "keepalive"):
            entrypoint, words = _KEEP_ALIVE, None
        elif background and spec.startup == "command":
            words = list(spec.command)
        bindings = build_port_bindings(list(spec.ports))
        with _told():
            host = self._api.create_host_config(
                binds=list(spec.volumes) or None,
                port_bindings=bindings or None,
                network_mode=spec.network or None,
                restart_policy={"Name": spec.restart_policy} if spec.restart_policy else None,
            )
            _lay_over(host, spec.raw.get("host", {}))
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
            # What it runs and how it is found again is ours to say.
            ours = {"image", "labels", *(("cmd",) if words else ()), *(("entrypoint", "cmd") if background else ())}
            given = spec.raw.get("container", {})
            _lay_over(config, {word: value for word, value in given.items() if word not in ours})
            if network := spec.raw.get("network"):
                config["NetworkingConfig"] = network
            made = self._api.create_container_from_config(config, name, spec.platform or None)  # type: ignore[no-untyped-call]
        return str(made["Id"])

    def run_attached(self, container: str, line: Line, io: StepIO) -> int:
        """Start a container, copy what it prints and return its exit code."""
        with _told():
            # Without what it printed before: on a busy machine the engine looks for that after the start, and
            # all would come twice.
            wanted = {"stdout": 1, "stderr": 1, "logs": 0, "stream": 1}
            output = self._api.attach_socket(container, params=wanted)
            try:
                self._api.start(container)
                _copy(output, line, io)
            finally:
                _close(output)
            return int(self._api.wait(container)["StatusCode"])

    def start_ready(self, container: str, spec: ContainerSpec, line: Line) -> None:
        """Start a container and wait until it is what ``waitFor`` and ``logPattern`` ask."""
        with _told():
            self._api.start(container)
            self._await_ready(container, spec, line)

    def ensure(self, name: str, spec: ContainerSpec, labels: dict[str, str], mark: str, line: Line) -> None:
        """Have the run's container running; steps that ask at once get the same one.

        ``labels`` say whose it is, ``mark`` which worker made it.

        Raises:
            EngineFault: the name belongs to somebody else's container.
        """
        try:
            self.create(name, spec, None, {**labels, MARK: mark}, background=True)
        except EngineFault as fault:
            if not _is_taken(fault):
                raise
        with _told():
            found = self._labels(name)
            if any(found.get(key) != value for key, value in labels.items()):
                raise EngineFault(f"the container name {name!r} is taken")
            self._api.start(name)
            self._await_ready(name, spec, line)

    def is_running(self, container: str) -> bool:
        """Whether there is such a container, and it runs."""
        with _told():
            try:
                return bool(self._api.inspect_container(container)["State"]["Running"])
            except NotFound:
                return False

    def _labels(self, name: str) -> dict[str, str]:
        """Return a container's labels; a name is taken a moment before the container can be seen."""
        give_up = time.monotonic() + _VISIBLE_S
        while True:
            try:
                return dict(self._api.inspect_container(name)["Config"]["Labels"] or {})
            except NotFound:
                if time.monotonic() > give_up:
                    raise
            threading.Event().wait(_LOOK_S)

    def _await_ready(self, container: str, spec: ContainerSpec, line: Line) -> None:
        give_up = time.monotonic() + _READY_S
        pause = threading.Event()
        while time.monotonic() < give_up:
            line.on_cut(lambda: None)
            state = self._api.inspect_container(container)["State"]
            if state["Status"] in ("exited", "dead"):
                raise EngineFault(f"the container ended before it was ready: exit code {state['ExitCode']}")
            health = (state.get("Health") or {}).get("Status", "healthy")
            healthy = spec.wait_for != "healthy" or health in ("healthy", "none", "")
            if state["Running"] and healthy and self._said(container, spec.log_pattern):
                return
            pause.wait(_LOOK_S)
        raise EngineFault(f"the container was not ready within {_READY_S:g}s")

    def _said(self, container: str, pattern: str) -> bool:
        return not pattern or bool(compile_pattern(pattern).search(self._api.logs(container).decode(errors="replace")))

    def execute(
        self, container: str, words: list[str], spec: ContainerSpec, mark: str, *, line: Line, io: StepIO
    ) -> int:
        """Run a command inside a running container and return its exit code."""
        with _told():
            made = self._api.exec_create(
                container,
                words,
                environment={**spec.env, _ENV_MARK: mark},
                user=spec.user,
                workdir=spec.working_dir or None,
            )
            output = self._api.exec_start(made["Id"], socket=True)
            try:
                _copy(output, line, io)
            finally:
                _close(output)
            return int(self._api.exec_inspect(made["Id"])["ExitCode"] or 0)

    def stop(self, container: str, signal: str, grace_s: float) -> None:
        """Send the signal and wait for the end, at most the grace."""
        with _told():
            try:
                self._api.kill(container, signal)
                self._api.wait(container, timeout=math.ceil(grace_s) or 1)
            except (APIError, OSError):
                return  # It resists, or is gone: it is removed next, by force.

    def end_inside(self, container: str, mark: str, signal: str, grace_s: float) -> None:
        """End what an ``execute`` started; the container lives on. It needs ``sh`` and ``grep`` there."""
        give_up = time.monotonic() + grace_s
        pause = threading.Event()
        with _told():
            while self._signal_inside(container, mark, signal) and time.monotonic() < give_up:
                signal = "0"
                pause.wait(_LOOK_S)
            self._signal_inside(container, mark, "KILL")

    def _signal_inside(self, container: str, mark: str, signal: str) -> bool:
        """Return whether somebody was there to be signalled."""
        made = self._api.exec_create(container, ["sh", "-c", KILL, "dagway", mark, signal])
        self._api.exec_start(made["Id"])
        return int(self._api.exec_inspect(made["Id"])["ExitCode"] or 0) == 0

    def remove(self, container: str, labels: Mapping[str, str]) -> None:
        """Kill and remove our container with its anonymous volumes; one that is gone already is fine."""
        with _told():
            try:
                found = self._api.inspect_container(container)["Config"]["Labels"] or {}
                if any(found.get(name) != value for name, value in labels.items()):
                    return  # Its name was taken before we came.
                with suppress(APIError):  # Podman's removal would first ask it to end, and wait.
                    self._api.kill(container, "KILL")
                self._api.remove_container(container, force=True, v=True)
            except NotFound:
                return
            except APIError as error:
                if error.status_code != _CONFLICT:  # Somebody else is removing it at this moment.
                    raise

    def will_remove(self, container: str, mark: str) -> list[str]:
        """Return the program that removes our container when this process no longer can."""
        return self._will({"remove": container, "mark": mark})

    def will_kill(self, container: str, mark: str) -> list[str]:
        """Return the program that ends an ``execute`` when this process no longer can."""
        return self._will({"container": container, "mark": mark})

    def _will(self, order: dict[str, str]) -> list[str]:
        script = str(Path(__file__).with_name("engine_cleanup.py"))
        return [sys.executable, "-I", "-S", script, json.dumps({"url": self._url, **order})]


def _is_taken(fault: EngineFault) -> bool:
    """Whether a container has the name already; of Podman only the text of its 500 tells."""
    cause = fault.__cause__
    return isinstance(cause, APIError) and (cause.status_code == _CONFLICT or "already in use" in str(fault))


def _exposed(bindings: Mapping[str, Any]) -> list[Any]:
    return [tuple(port.split("/")) if "/" in port else port for port in bindings]


def _copy(output: Any, line: Line, io: StepIO) -> None:
    """Sort what a container prints into the step's two outputs, until it ends or ``line`` is cut."""
    line.guard(output._sock)  # noqa: SLF001 - the only way to end a read from outside
    for number, data in frames_iter(output, tty=False):  # type: ignore[no-untyped-call]
        line.write(io.stdout if number == STDOUT else io.stderr, data)


def _close(output: Any) -> None:
    """Close what the library leaves to the garbage collector."""
    sock = output._sock  # noqa: SLF001
    output._response.close()  # noqa: SLF001 - it closes the reader above the socket
    sock.close()


def _lay_over(known: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Put what a user gave in the engine's own words, whose names are in lower case, over what is known."""
    for name in [name for name in known if name.lower() in given]:
        del known[name]
    known.update(given)
