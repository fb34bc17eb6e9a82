"""The settings that several processes of one kind report, and where they differ. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.settings.effective import KnownSetting, ReportedSettings

__all__ = ["SettingsReport", "reported_json"]

_MOST_NAMED = 20
"""How many processes with the same value are named. All are counted."""


@dataclass(frozen=True, slots=True)
class SettingsReport:
    """What a process reports. ``settings`` is ``None`` if its version reports none."""

    process: str
    settings: ReportedSettings | None


def reported_json(reports: Sequence[SettingsReport], known: Mapping[str, KnownSetting]) -> list[dict[str, Any]]:
    """Return each setting that a process has set, with its values and who has them; first those that differ.

    A process that has not set it has its default. Secrets are never equal or different: that they are set is all that
    is known of them.
    """
    heard = [(each.process, each.settings) for each in reports if each.settings is not None]
    variables = {variable for _, settings in heard for variable in settings}
    found = [_setting(variable, heard, known.get(variable)) for variable in variables]
    return sorted(found, key=lambda each: (not each["differs"], each["variable"]))


def _setting(
    variable: str, heard: Sequence[tuple[str, ReportedSettings]], known: KnownSetting | None
) -> dict[str, Any]:
    default = known.default if known else ""
    having: dict[tuple[str, str], list[str]] = {}
    for process, settings in heard:
        value, set_by = settings.get(variable, (default, ""))
        having.setdefault((value, set_by), []).append(process)
    secret = known is not None and known.secret
    distinct = {(bool(set_by) if secret else value) for value, set_by in having}
    return {
        "variable": variable,
        "description": known.description if known else "",
        "default": default,
        "secret": secret,
        "differs": len(distinct) > 1,
        "values": [
            {"value": value, "setBy": set_by, "count": len(processes), "processes": sorted(processes)[:_MOST_NAMED]}
            for (value, set_by), processes in sorted(having.items())
        ],
    }
