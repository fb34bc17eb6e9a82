"""Read the settings of a container from ``container``, or from the legacy ``config``."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import InvalidInput

__all__ = ["ContainerSpec", "auth_for", "read_spec"]


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """The settings of a container.

    ``exec`` is the name of a running container to run commands in. If ``image`` is set too and no container of that
    name runs, one is created.
    """

    exec: str = ""
    image: str = ""
    name: str = ""
    pull: str = "missing"
    env: dict[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    platform: str = ""
    ports: tuple[str, ...] = ()
    network: str = ""
    keep: bool = False
    startup: str = ""
    command: tuple[str, ...] = ()
    wait_for: str = "running"
    log_pattern: str = ""
    restart_policy: str = ""
    raw: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """``container``, ``host`` and ``network`` of the legacy ``config``, with the names of the Docker API.

    Names on the first level are in lower case; the engine ignores the case of names.
    """


def read_spec(given: Any, folder: Path, env: Mapping[str, str]) -> ContainerSpec:
    """Read ``container`` or the legacy ``config``, with variables expanded. Its own ``env`` wins over ``env``.

    Relative volumes are below ``folder``.

    Raises:
        InvalidInput: neither a container's name nor an image is given, or the pull policy is unknown.
    """
    if isinstance(given, str):
        return ContainerSpec(exec=given, env=dict(env))
    raw = {name: _in_engine_words(given, name) for name in ("container", "host", "network", "exec")}
    container, host, inside = raw["container"], raw["host"], raw.pop("exec")
    host.pop("autoremove", None)  # the worker removes the container
    own = given.get("env") or container.pop("env", None) or inside.get("env") or []
    pairs = own.items() if isinstance(own, dict) else (str(one).partition("=")[::2] for one in own)
    target = str(given["exec"] if isinstance(given.get("exec"), str) else given.get("containerName") or "")
    if not target and not given.get("image"):
        raise InvalidInput("a container needs image, or exec with the name of a running container")
    return ContainerSpec(
        exec=target,
        image=str(given.get("image") or ""),
        name=str(given.get("name") or target),
        pull=_pull(given),
        env={**env, **{str(name): str(value) for name, value in pairs}},
        volumes=tuple(
            _volume(str(one), folder) for one in (*(given.get("volumes") or ()), *(host.pop("binds", None) or ()))
        ),
        user=str(given.get("user") or container.pop("user", None) or inside.get("user") or ""),
        working_dir=str(given.get("workingDir") or container.pop("workingdir", None) or inside.get("workingdir") or ""),
        platform=str(given.get("platform") or ""),
        ports=tuple(map(str, given.get("ports") or ())),
        network=str(given.get("network") or "") if isinstance(given.get("network"), str) else "",
        keep=bool(given.get("keepContainer")) or str(given.get("autoRemove", True)).lower() == "false",
        startup=str(given.get("startup") or ""),
        command=tuple(map(str, given.get("command") or ())),
        wait_for=str(given.get("waitFor") or "running"),
        log_pattern=str(given.get("logPattern") or ""),
        restart_policy=str(given.get("restartPolicy") or ""),
        raw=raw,
    )


def _in_engine_words(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    return {str(key).lower(): inner for key, inner in value.items()} if isinstance(value, dict) else {}


def _pull(given: Mapping[str, Any]) -> str:
    word = str(given.get("pullPolicy", given.get("pull", "missing"))).lower()
    word = {"true": "always", "false": "never"}.get(word, word)
    if word not in {"always", "missing", "never"}:
        raise InvalidInput(f"failed to parse pull policy: {word}")
    return word


def _volume(text: str, folder: Path) -> str:
    """Make the source of a bind mount absolute; return a volume that is given by name unchanged."""
    source, _, rest = text.partition(":")
    if source.startswith("."):
        source = str((folder / source).resolve())
    elif source.startswith("~"):
        source = str(Path(source).expanduser())
    return f"{source}:{rest}"


def auth_for(registry: str, auths: Any) -> dict[str, str] | None:
    """Return the credentials for one registry, or ``None``.

    ``auths`` is the DAG's ``registryAuths``, or the text of a Docker ``config.json``.
    """
    if isinstance(auths, str):
        try:
            found = json.loads(auths)
        except ValueError as error:
            raise InvalidInput(f"registryAuths is not JSON: {error}") from error
        auths = found.get("auths", found)
    names = (registry, "https://index.docker.io/v1/") if registry == "docker.io" else (registry, f"https://{registry}")
    entry = next((auths[name] for name in names if name in auths), None)
    if isinstance(entry, str):
        entry = json.loads(entry)
    if not entry:
        return None
    if entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        return {"username": user, "password": password}
    return {"username": str(entry.get("username", "")), "password": str(entry.get("password", ""))}
