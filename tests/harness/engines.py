"""Real container engines, started in their own folders without network and firewall, with one small image.

The image is made of programs of this machine, so nothing is downloaded.
"""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import docker

from tests.harness.eventually import PATIENCE_S, eventually

__all__ = ["ENGINES", "IMAGE", "DockerEngine", "Engine", "PodmanEngine", "engine_bin", "root_file_system"]

IMAGE = "localhost/small:1"
_PROGRAMS = ("sh", "cat", "sleep", "grep", "env", "ls", "id", "touch", "getent")


def engine_bin(program: str) -> str | None:
    """Return the path of an engine's program, or ``None`` if it is not installed or cannot run here."""
    return shutil.which(program) if os.geteuid() == 0 else None


def root_file_system() -> bytes:
    """Return a tar of a few programs and the libraries that they load."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("bin", "tmp", "proc", "dev", "etc"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
        libraries: set[str] = set()
        for name in _PROGRAMS:
            path = os.path.realpath(shutil.which(name) or f"/bin/{name}")
            tar.add(path, f"bin/{name}")
            said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
            libraries |= set(re.findall(r"(/\S+) \(0x", said))
        for path in sorted(libraries):
            tar.add(os.path.realpath(path), path.lstrip("/"))
    return buffer.getvalue()


class Engine(ABC):
    """A container engine that runs between ``__enter__`` and ``__exit__``. ``url`` is the value for ``DOCKER_HOST``."""

    program: str

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # A socket's path must be short.
        self.url = f"unix://{folder}/e.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _prepare(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """Write the engine's configuration; return its arguments and environment variables."""

    def __enter__(self) -> Self:
        words, env = self._prepare()
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self.program, *words], env={**os.environ, **env}, stdout=log, stderr=log, start_new_session=True
            )
        self.client = eventually(self._connected, every_s=0.1)
        self.client.api.import_image_from_data(root_file_system(), repository="localhost/small", tag="1")
        return self

    def _connected(self) -> docker.DockerClient:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self._folder / "log").read_text()[-2000:])
        with socket.socket(socket.AF_UNIX) as probe:
            assert probe.connect_ex(self.url.removeprefix("unix://")) == 0, f"{self.program} does not listen yet"
        try:
            return docker.DockerClient(self.url, timeout=int(PATIENCE_S))
        except docker.errors.DockerException as error:
            raise AssertionError(str(error)) from error

    def names(self, **filters: str) -> list[str]:
        """Return the names of all containers, including ended ones. ``label="a=b"`` selects those with the label."""
        rows: Any = self.client.api.containers(all=True, filters=filters)
        return [row["Names"][0].lstrip("/") for row in rows]

    def running(self, name: str) -> list[str]:
        """Return the command lines of the processes in a container; empty if the container does not run.

        Zombies are left out.
        """
        try:
            top: Any = self.client.api.top(name, ps_args="-eo pid,stat,args")
        except docker.errors.APIError:
            return []
        return [command for _, state, command in top["Processes"] if not state.startswith("Z")]

    def clear(self) -> None:
        """Remove all containers. Running ones are killed first, since Podman would wait for their end."""
        for container in self.client.containers.list(all=True, ignore_removed=True):
            with suppress(docker.errors.APIError):
                container.kill()
            container.remove(force=True)

    def __exit__(self, *_: object) -> None:
        self.clear()
        self.client.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
        self._end_monitors()
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        left = [place for place in mounted if place.startswith(f"{self._folder}/")]
        if left:
            subprocess.run(["umount", "-l", *reversed(left)], check=True)

    def _end_monitors(self) -> None:
        """End the monitor processes, which Podman keeps for five minutes after each command inside a container."""
        for folder in Path("/proc").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                if folder.name.isdecimal() and str(self._folder).encode() in (folder / "cmdline").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)


class DockerEngine(Engine):
    """The Docker engine."""

    program = "dockerd"

    def _prepare(self) -> tuple[Sequence[str], Mapping[str, str]]:
        settings = {
            "data-root": str(self._folder / "data"),
            "exec-root": str(self._folder / "exec"),
            "pidfile": str(self._folder / "docker.pid"),
            "hosts": [self.url],
            "bridge": "none",
            "iptables": False,
            "ip6tables": False,
            "ip-forward": False,
            "ip-masq": False,
            "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 20000, "Soft": 20000}},
        }
        config = self._folder / "daemon.json"
        config.write_text(json.dumps(settings))
        return ["--config-file", str(config)], {}


class PodmanEngine(Engine):
    """Podman, which serves the same API."""

    program = "podman"

    def _prepare(self) -> tuple[Sequence[str], Mapping[str, str]]:
        place = self._folder
        files = {
            "containers": f"""
                [containers]
                default_ulimits = ["nofile=20000:20000"]
                netns = "none"
                [engine]
                cgroup_manager = "cgroupfs"
                events_logger = "file"
                lock_type = "file"
                runtime = "runc"
                tmp_dir = "{place}/libpod"
                [network]
                firewall_driver = "none"
                network_config_dir = "{place}/networks"
            """,
            "storage": f"""
                [storage]
                driver = "overlay"
                graphroot = "{place}/data"
                runroot = "{place}/run"
            """,
            "registries": """
                [[registry]]
                location = "127.0.0.1"
                insecure = true
            """,
        }
        for name, text in files.items():
            (place / f"{name}.conf").write_text(text)
        env = {
            "CONTAINERS_CONF": str(place / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(place / "registries.conf"),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
            "TMPDIR": str(place),
        }
        return ["system", "service", "--time", "0", self.url], env


ENGINES: tuple[type[Engine], ...] = (DockerEngine, PodmanEngine)
