"""A real container engine, begun by hand in a folder of its own: no network, no firewall, one small image.

The image is made of this machine's own programs, so nothing is downloaded.
"""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Self

import docker

from tests.harness.eventually import eventually

__all__ = ["IMAGE", "DockerEngine", "engine_bin", "root_file_system"]

IMAGE = "localhost/small:1"
_PROGRAMS = ("sh", "cat", "sleep", "grep", "env", "ls", "id", "touch")


def engine_bin() -> str | None:
    """Return the engine's program, if this machine has it and may run it."""
    return shutil.which("dockerd") if os.geteuid() == 0 else None


def root_file_system() -> bytes:
    """Return a tar of a few programs and the libraries they load."""
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


class DockerEngine:
    """Started on entering, ended on leaving; ``url`` is what ``DOCKER_HOST`` must be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # A socket's path must be short.
        self.url = f"unix://{folder}/d.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
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
        with (self._folder / "dockerd.log").open("wb") as log:
            self._process = subprocess.Popen(
                [engine_bin() or "dockerd", "--config-file", str(config)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.client = eventually(self._connected, timeout_s=30, every_s=0.1)
        self.client.api.import_image_from_data(root_file_system(), repository="localhost/small", tag="1")
        return self

    def _connected(self) -> docker.DockerClient:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self._folder / "dockerd.log").read_text()[-2000:])
        with socket.socket(socket.AF_UNIX) as probe:
            assert probe.connect_ex(self.url.removeprefix("unix://")) == 0, "dockerd does not listen yet"
        try:
            return docker.DockerClient(self.url, timeout=30)
        except docker.errors.DockerException as error:
            raise AssertionError(str(error)) from error

    def names(self) -> list[str]:
        """Return the names of all containers, ended ones included."""
        return [str(one.name) for one in self.client.containers.list(all=True)]

    def running(self, name: str) -> list[str]:
        """Return the commands of the processes that run in a container."""
        top: Any = self.client.api.top(name)
        return [row[-1] for row in top["Processes"]]

    def __exit__(self, *_: object) -> None:
        for container in self.client.containers.list(all=True):
            container.remove(force=True)
        self.client.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
