"""Read ``container`` and ``registryAuths`` into plain dicts with the same keys as the YAML."""

import re
from typing import Any

from shared.language.environment import read_env
from shared.language.model import Pairs
from shared.language.patterns import PatternError, compile_pattern
from shared.language.yaml.fields import Fields, Vocabulary, is_scalar, scalar_text
from shared.language.yaml.reader import YamlMap

__all__ = ["CONTAINER_KEYS", "read_container", "read_registry_auths"]

CONTAINER_KEYS = Vocabulary(
    "exec", "name", "image", "pullPolicy", "env", "volumes", "user", "workingDir", "workDir", "platform", "ports",
    "network", "keepContainer", "startup", "command", "waitFor", "logPattern", "restartPolicy",
)  # fmt: skip
_CREDENTIALS = Vocabulary("username", "password", "auth")
_WITH_EXEC = frozenset({"exec", "user", "workingDir", "workDir", "env"})
_PORT = re.compile(
    r"(?:(?:[0-9.]+|\[[0-9a-fA-F:]+\]):)?(?:\d{1,5}(?:-\d{1,5})?:)?\d{1,5}(?:-\d{1,5})?(?:/(?:tcp|udp|sctp))?\Z"
)
_CHOICES = {
    "startup": ("keepalive", "entrypoint", "command"),
    "waitFor": ("running", "healthy"),
    "restartPolicy": ("no", "always", "unless-stopped"),
}


def read_container(fields: Fields) -> dict[str, Any] | str | None:
    """Read ``container``: the name of a running container, or a map."""
    value = fields.get("container")
    if value is None:
        return None
    if isinstance(value, str):
        if not value.strip():
            fields.error("container", "container name cannot be empty")
            return None
        return value.strip()
    inner = fields.mapping("container", CONTAINER_KEYS, error="container must be a string or a map", unknown="ignore")
    if inner is None:
        return None
    _check_kind(fields, inner)
    found: dict[str, Any] = {}
    for name in ("exec", "name", "image", "user", "platform", "network", "logPattern"):
        if text := _text(inner, name):
            found[name] = text
    if directory := _text(inner, "workingDir") or _text(inner, "workDir"):
        found["workingDir"] = directory
    for name, choices in _CHOICES.items():
        if choice := inner.choice(name, choices):
            found[name] = choice
    if policy := _pull_policy(inner):
        found["pullPolicy"] = policy
    if env := _env(inner):
        found["env"] = [f"{key}={text}" for key, text in env]
    if volumes := inner.texts("volumes"):
        found["volumes"] = _volumes(inner, volumes)
    if inner.get("ports") is not None:
        found["ports"] = _ports(inner)
    if command := inner.texts("command"):
        found["command"] = list(command)
    if "keepContainer" in inner:
        found["keepContainer"] = _flag(inner, "keepContainer")
    if found.get("startup") == "command" and "command" not in found:
        inner.error("startup", "startup 'command' requires 'command'")
    _check_pattern(inner, found.get("logPattern", ""))
    return found


def _text(fields: Fields, name: str) -> str:
    """Read any scalar as text. In a container ``user: 1000`` needs no quotes, unlike in other fields."""
    value = fields.get(name)
    return fields.text(name) if value is None or not is_scalar(value) else scalar_text(value).strip()


def _flag(fields: Fields, name: str) -> bool:
    """Read a boolean. An empty text and 0 mean false, other numbers mean true."""
    value = fields.get(name)
    return bool(value) if value == "" or isinstance(value, int | float) else fields.boolean(name)


def _env(fields: Fields) -> Pairs:
    """Read ``env``. A single ``K=V`` text is allowed besides the forms that ``read_env`` reads."""
    name, equals, value = str(fields.get("env")).partition("=") if isinstance(fields.get("env"), str) else ("", "", "")
    return ((name.strip(), value),) if equals and name.strip() else read_env(fields)


def _check_kind(fields: Fields, inner: Fields) -> None:
    has_exec, has_image = bool(_text(inner, "exec")), bool(_text(inner, "image"))
    if has_exec and has_image:
        fields.error("container", "'exec' and 'image' are mutually exclusive")
    elif has_exec:
        wrong = sorted(key for key in inner.raw if key in CONTAINER_KEYS.names and key not in _WITH_EXEC)
        if wrong:
            fields.error("container", f"fields [{', '.join(wrong)}] cannot be used with 'exec'")
    elif not has_image:
        fields.error("container", "either 'exec' or 'image' must be specified")


def _pull_policy(fields: Fields) -> str:
    value = fields.get("pullPolicy")
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "always" if value else "never"
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in ("always", "missing", "never", "true", "false"):
        fields.error("pullPolicy", f"failed to parse pull policy: {scalar_text(value) if is_scalar(value) else ''}")
        return ""
    return {"true": "always", "false": "never"}.get(word, word)


def _volumes(fields: Fields, volumes: tuple[str, ...]) -> list[str]:
    for volume in volumes:
        parts = volume.split(":")
        if len(parts) not in (2, 3) or not all(parts) or (len(parts) == 3 and parts[2] not in ("ro", "rw")):
            fields.error("volumes", f"invalid volume format: {volume} (expected source:target[:ro|rw])")
    return list(volumes)


def _ports(fields: Fields) -> list[str]:
    value = fields.get("ports")
    found: list[str] = []
    for item in value if isinstance(value, list) else [value]:
        text = scalar_text(item) if is_scalar(item) else ""
        if not _PORT.match(text) and "$" not in text:
            fields.error("ports", f"invalid port format: {text} (expected [[address:]port:]port[/tcp|udp|sctp])")
        found.append(text)
    return found


def _check_pattern(fields: Fields, pattern: str) -> None:
    try:
        compile_pattern(pattern)
    except PatternError as error:
        fields.error("logPattern", f"invalid regular expression: {error}")


def read_registry_auths(fields: Fields) -> dict[str, Any] | str | None:
    """Read ``registryAuths``: a JSON text, or a map from host to a text or ``{username, password, auth}``."""
    value = fields.get("registryAuths")
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, YamlMap):
        fields.error("registryAuths", "registryAuths: invalid type")
        return None
    found: dict[str, Any] = {}
    for host, auth in value.items():
        path = f"{fields.sub('registryAuths')}.{host}"
        if isinstance(auth, YamlMap):
            found[host] = _credentials(Fields(fields.issues, auth, path, _CREDENTIALS, unknown="ignore"))
        elif isinstance(auth, str):
            found[host] = auth
        else:
            fields.issues.error("registryAuths: invalid type", path, value.key_at[host])
    return found


def _credentials(fields: Fields) -> dict[str, str]:
    return {name: text for name in ("username", "password", "auth") if (text := _text(fields, name))}
