"""Profiles: the file with the URL and credentials of several gateways, and which of them is in use.

The file is YAML, for its owner only::

    use: production
    profiles:
      production: {url: https://dagway.example.org, token: dagu_...}
      laptop: {url: http://127.0.0.1:8080}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from shared.errors import ConfigInvalid
from shared.language.issues import Issues, did_you_mean
from shared.language.yaml.reader import read_yaml
from shared.private_files import private_file, private_folder
from shared.settings.readers import gateway_url, header_value

__all__ = ["Profile", "Profiles", "profiles_path", "read_profiles", "write_profiles"]


@dataclass(frozen=True, slots=True)
class Profile:
    """How to reach one gateway. ``ca_file``: certificates that sign the gateway's, if the system does not know them.

    ``workspace``: the one that its requests name.
    """

    url: str
    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    workspace: str = ""


@dataclass(frozen=True, slots=True)
class Profiles:
    """All profiles by name. ``use`` is the name of the one in use, or empty."""

    use: str = ""
    by_name: Mapping[str, Profile] = field(default_factory=dict)


_FIELDS = tuple(each.name for each in fields(Profile))


def profiles_path(environ: Mapping[str, str]) -> Path:
    """Return the path of the file, which may not exist."""
    base = environ.get("XDG_CONFIG_HOME") or ""
    folder = Path(base) if base.startswith("/") else Path.home() / ".config"
    return folder / "dagway" / "config.yaml"


def read_profiles(path: Path) -> Profiles:
    """Return the profiles in the file; none if it does not exist.

    Raises:
        ConfigInvalid: the file cannot be read, or something in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Profiles()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path}: cannot read the file: {error}") from error
    issues = Issues()
    documents = read_yaml(text, issues)
    if problem := next(iter(issues.found), None):
        raise ConfigInvalid(f"{path}: {problem}")
    try:
        return _profiles(documents[0].value if documents else {})
    except ValueError as error:
        raise ConfigInvalid(f"{path}: {error}") from error


def _profiles(value: Any) -> Profiles:
    found = _map(value, "the file")
    _only(found, ("use", "profiles"), "")
    by_name = {
        name: _profile(_map(item, f"profiles.{name}"), f"profiles.{name}")
        for name, item in _map(found.get("profiles"), "profiles").items()
    }
    use = _text(found, "use", "")
    if use and use not in by_name:
        raise ValueError(f"use: there is no profile {use!r}")
    return Profiles(use, by_name)


def _profile(found: Mapping[str, Any], where: str) -> Profile:
    _only(found, _FIELDS, f"{where}: ")
    values = {name: _text(found, name, f"{where}.") for name in _FIELDS}
    if not values["url"]:
        raise ValueError(f"{where}.url: must be set")
    for name, read in (("url", gateway_url), ("token", header_value), ("workspace", header_value)):
        try:
            values[name] = read(values[name])
        except ValueError as error:
            raise ValueError(f"{where}.{name}: {error}") from error
    return Profile(**values)


def _map(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{where}: must be a map")  # noqa: TRY004 - the file is wrong, not the program
    return value


def _text(found: Mapping[str, Any], name: str, prefix: str) -> str:
    value = found.get(name)
    if value is None:
        return ""
    if isinstance(value, dict | list | bool):
        raise ValueError(f"{prefix}{name}: must be a text")  # noqa: TRY004 - as above
    return str(value)


def _only(found: Mapping[str, Any], known: tuple[str, ...], prefix: str) -> None:
    for name in found:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ValueError(f"{prefix}unknown field {name!r}{f' ({hint})' if hint else ''}")


def write_profiles(path: Path, profiles: Profiles) -> None:
    """Write the file, for its owner only. It is replaced as a whole, or not at all.

    Raises:
        ConfigInvalid: the file cannot be written.
    """
    # A JSON text in double quotes is a YAML text too.
    lines = [f"use: {json.dumps(profiles.use)}", "profiles:" if profiles.by_name else "profiles: {}"]
    for name, profile in profiles.by_name.items():
        lines.append(f"  {json.dumps(name)}:")
        lines += [f"    {each}: {json.dumps(value)}" for each in _FIELDS if (value := getattr(profile, each))]
    new = path.with_name(f"{path.name}.new")
    try:
        private_folder(path.parent)
        private_file(new)
        new.write_text("\n".join(lines) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise ConfigInvalid(f"{path}: cannot write the file: {error.strerror}") from error
