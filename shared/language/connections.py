"""Read the fields of a dag about other systems: ``ssh``, ``smtp``, mail settings, ``otel`` and ``secrets``."""

import re
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from shared.language.issues import did_you_mean
from shared.language.model import STORED, MailOn, MailSettings, Secret
from shared.language.yaml.fields import Fields, Vocabulary, is_scalar, plain, scalar_text
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = [
    "OTEL_KEYS",
    "SECRET_PLUGINS",
    "SMTP_KEYS",
    "SSH_KEYS",
    "read_mail",
    "read_mail_on",
    "read_otel",
    "read_secrets",
    "read_smtp",
    "read_ssh",
]

SECRET_PLUGINS = "dagway.secrets"
"""Entry point group of the secret providers that plugins bring. This module reads their names and imports nothing."""

SSH_KEYS = Vocabulary("user", "host", "port", "key", "password", "strictHostKey", "knownHostFile", "shell")
SMTP_KEYS = Vocabulary("host", "port", "username", "password", "tls", "caFile", "skipTLSVerify")
_MAIL_ON = Vocabulary("failure", "success", "wait")
_MAIL = Vocabulary("from", "to", "prefix", "attachLogs")
_OTEL_TYPES: dict[str, type[Any]] = {
    "enabled": bool, "endpoint": str, "headers": dict, "insecure": bool, "timeout": str, "resource": dict,
}  # fmt: skip
OTEL_KEYS = Vocabulary(*_OTEL_TYPES)
_KIND_NAMES: dict[type[Any], str] = {bool: "true or false", str: "a string", dict: "a map"}
_SECRET = Vocabulary("name", "provider", "key", "options")
_PROVIDERS = ("env", "file", "mounted", "vault", STORED)
_GO_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+)\Z")


def read_ssh(fields: Fields) -> dict[str, Any] | None:
    """Read ``ssh``: the host that the dag's ssh steps run on. ``strictHostKey`` is true by default.

    Return ``None`` if the field is absent or is not a map.
    """
    inner = fields.mapping("ssh", SSH_KEYS)
    if inner is None:
        return None
    found: dict[str, Any] = {
        name: text for name in ("user", "host", "key", "password", "knownHostFile") if (text := inner.text(name))
    }
    found["port"] = _port(inner) or "22"
    found["strictHostKey"] = inner.boolean("strictHostKey", True)
    if isinstance(inner.get("shell"), str):
        # The worker splits the text into words, because it may contain a variable.
        found["shell"] = inner.text("shell")
    elif shell := inner.texts("shell"):
        found["shell"] = list(shell)
    return found


def read_smtp(fields: Fields) -> dict[str, Any] | None:
    """Read ``smtp``: the mail server. Dagu has no ``tls``, ``caFile`` and ``skipTLSVerify``."""
    inner = fields.mapping("smtp", SMTP_KEYS)
    if inner is None:
        return None
    texts = ("host", "username", "password", "caFile")
    found: dict[str, Any] = {name: text for name in texts if (text := inner.text(name))}
    found |= {name: True for name in ("tls", "skipTLSVerify") if inner.boolean(name)}
    if port := _port(inner):
        found["port"] = port
    return found


def _port(fields: Fields) -> str:
    value = fields.get("port")
    if value is None:
        return ""
    integral = isinstance(value, str) or (isinstance(value, int | float) and value == value // 1)
    if isinstance(value, bool) or not integral:
        fields.wrong_type("port", "an integer", value)
        return ""
    return scalar_text(value).strip()


def read_mail_on(fields: Fields) -> MailOn:
    """Read ``mailOn``: the outcomes of a run for which a mail is sent."""
    inner = fields.mapping("mailOn", _MAIL_ON)
    if inner is None:
        return MailOn()
    return MailOn(failure=inner.boolean("failure"), success=inner.boolean("success"), wait=inner.boolean("wait"))


def read_mail(fields: Fields, name: str) -> MailSettings | None:
    """Read the field ``name``, which is ``errorMail``, ``infoMail`` or ``waitMail``."""
    inner = fields.mapping(name, _MAIL)
    if inner is None:
        return None
    return MailSettings(
        sender=inner.text("from"),
        to=tuple(address.strip() for address in inner.texts("to") if address.strip()),
        prefix=inner.text("prefix"),
        attach_logs=inner.boolean("attachLogs"),
    )


def read_otel(fields: Fields) -> dict[str, Any] | None:
    """Read ``otel``: the trace collector that receives the spans of the dag's runs."""
    inner = fields.mapping("otel", OTEL_KEYS, error="otel must be a map", unknown="ignore")
    if inner is None:
        return None
    found: dict[str, Any] = {}
    for name, kind in _OTEL_TYPES.items():
        value = inner.get(name)
        if isinstance(value, kind):
            found[name] = plain(value)
        elif value is not None:
            # As in Dagu: an unusable value is ignored, and the run is not traced.
            inner.warn(name, f"{name} is ignored: its value must be {_KIND_NAMES[kind]}")
    timeout = str(found.get("timeout", "")).strip()
    if timeout and not _GO_DURATION.match(timeout):
        inner.error("timeout", f"invalid duration: {timeout}", hint='write for instance "30s"')
    return found


def read_secrets(fields: Fields) -> tuple[Secret, ...]:
    """Read ``secrets``: where workers find each secret. Names must be unique."""
    value = fields.get("secrets")
    if value is None:
        return ()
    if not isinstance(value, YamlList):
        fields.error("secrets", "secrets must be a list")
        return ()
    found: dict[str, Secret] = {}
    for index, item in enumerate(value):
        path = f"{fields.sub('secrets')}[{index}]"
        if not isinstance(item, YamlMap):
            fields.issues.error(f"secret at index {index} must be a map", path, value.item_at[index])
            continue
        secret = _secret(Fields(fields.issues, item, path, _SECRET), index)
        if secret is None:
            continue
        if secret.name in found:
            fields.issues.error(f'duplicate secret name "{secret.name}"', path, item.at)
        found[secret.name] = secret
    return tuple(found.values())


def _secret(fields: Fields, index: int) -> Secret | None:
    texts = {name: fields.text(name) for name in ("name", "provider", "key")}
    for name, text in texts.items():
        if not text and (fields.get(name) is None or is_scalar(fields.get(name))):
            fields.issues.error(f"secret at index {index}: '{name}' field is required", fields.path, fields.at)
    provider = texts["provider"]
    if provider and provider not in _PROVIDERS and provider not in _installed_providers():
        hint = did_you_mean(provider, _PROVIDERS) or "not installed on this machine; install its package on the workers"
        fields.warn("provider", f"unknown secret provider: {provider}", hint=hint)
    options = fields.text_map("options")
    return Secret(**texts, options=options) if all(texts.values()) else None


@cache
def _installed_providers() -> frozenset[str]:
    return frozenset(entry.name for entry in entry_points(group=SECRET_PLUGINS))
