"""The settings of a running service as an administrator reads them: generated from the one table of settings."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from shared.settings.command_defaults import command_wait_s, dags_write, drain_s, run_files_mib
from shared.settings.config import OPTIONS, Config
from shared.settings.option import Option

__all__ = [
    "EffectiveSetting",
    "KnownSetting",
    "ReportedSettings",
    "Source",
    "effective_settings",
    "known_settings",
    "reported_settings",
]

Source = Literal["default", "option", "variable", "file", "dagu"]
ReportedSettings = Mapping[str, tuple[str, str]]
"""The settings that are not left to their defaults: by variable the value, empty for a secret, and what set it."""
_MOST_CHARACTERS = 500
"""The most of a value that is reported as it is: each heartbeat of a worker has all of them."""
_DERIVED = frozenset({"auth_mode", "data_dir", "log_format", "tz", "worker_id"})
"""Settings whose default depends on the machine or on other settings: shown as they are, and not as ``help`` says."""
_BY_COMMAND: Mapping[str, Callable[[Config, str], object]] = {
    "command_wait_s": command_wait_s,
    "drain_s": drain_s,
    "dags_write": dags_write,
    "run_files_mib": run_files_mib,
}
"""Settings whose default depends on the command or on the machine. ``help`` has the rule."""
_EMPTY = {"auth_mode": "none"}
"""What an empty derived value means."""
_HIDDEN = frozenset({"faults"})
"""Only for tests."""
_DEFAULT_IN_HELP = re.compile(r"\s*\(([^()]*)\)$")


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """One setting. ``value`` is empty for a secret, whether it is set or not.

    ``set_by``: the option, variable or setting of Dagu's that it comes from; empty for a default.
    """

    variable: str
    option: str
    value: str
    default: str
    source: Source
    set_by: str
    secret: bool
    description: str


def effective_settings(config: Config, command: str) -> tuple[EffectiveSetting, ...]:
    """Return the settings that ``dagway COMMAND`` takes, in the order of the table."""
    return tuple(
        _effective(option, config, command)
        for option in OPTIONS
        if command in option.services and option.field not in _HIDDEN
    )


@dataclass(frozen=True, slots=True)
class KnownSetting:
    """What this version knows about a setting of any service."""

    default: str
    secret: bool
    description: str


def reported_settings(config: Config, command: str) -> dict[str, tuple[str, str]]:
    """Return what a process that ``dagway COMMAND`` started reports about its settings."""
    return {
        each.variable: (_cut(each.value), each.set_by)
        for each in effective_settings(config, command)
        if each.source != "default"
    }


def _cut(value: str) -> str:
    """Return a value as it is reported. A mark says that it was cut, and still tells different values apart."""
    if len(value) <= _MOST_CHARACTERS:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{value[:_MOST_CHARACTERS]}… [cut: {len(value)} characters, SHA-256 {digest}…]"


def known_settings() -> dict[str, KnownSetting]:
    """Return all settings by variable."""
    return {
        option.env: KnownSetting(_default(option), option.secret, _DEFAULT_IN_HELP.sub("", option.help))
        for option in OPTIONS
    }


def _default(option: Option) -> str:
    found = _DEFAULT_IN_HELP.search(option.help)
    return found[1] if found else ""


def _effective(option: Option, config: Config, command: str) -> EffectiveSetting:
    default = _default(option)
    origin = config.origins.get(option.field)
    derived = ""
    if option.field in _DERIVED:
        derived = str(getattr(config, option.field)) or _EMPTY.get(option.field, "")
    elif option.field in _BY_COMMAND:
        derived = str(_BY_COMMAND[option.field](config, command))
    return EffectiveSetting(
        variable=option.env,
        option=option.flag,
        value="" if option.secret else origin.text if origin else derived or default,
        default=default,
        source=_source(option, origin.source) if origin else "default",
        set_by=origin.source if origin else "",
        secret=option.secret,
        description=_DEFAULT_IN_HELP.sub("", option.help),
    )


def _source(option: Option, name: str) -> Source:
    if name.startswith("--"):
        return "option"
    named: dict[str, Source] = {option.env: "variable"}
    if option.secret:
        named[option.file_env] = "file"
    return named.get(name, "dagu")
