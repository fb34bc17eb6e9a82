"""The effective settings of a gateway, for administrators: an addition to Dagu's API."""

from typing import Any

from services.api.operations import ApiResponse, Call, Operations, ok
from services.api.representations.reported_settings_json import SettingsReport, reported_json
from services.api.response_schemas.settings import ReportedSettingsSchema, SettingsSchema
from shared.settings.effective import known_settings
from shared.store.queries.workers import DRAINING, LIVE

__all__ = ["SETTINGS"]

SETTINGS = Operations()


@SETTINGS.get("/settings", id="listSettings", role="admin", reach="server", response=SettingsSchema)
def list_settings(call: Call) -> ApiResponse:
    """List the settings of this gateway, each with its value, default, source and meaning.

    The values of secrets are left out. In ``dagway up`` these are the settings of all its services; schedulers and
    workers of a distributed system have settings of their own: ``GET /settings/schedulers``,
    ``GET /settings/workers``.
    """
    return ok(
        {
            "settings": [
                {
                    "variable": each.variable,
                    "option": each.option,
                    "value": each.value,
                    "default": each.default,
                    "source": each.source,
                    "setBy": each.set_by,
                    "secret": each.secret,
                    "description": each.description,
                }
                for each in call.deps.settings.effective
            ]
        }
    )


@SETTINGS.get(
    "/settings/schedulers", id="listSchedulerSettings", role="admin", reach="server", response=ReportedSettingsSchema
)
def list_scheduler_settings(call: Call) -> ApiResponse:
    """List the settings that live schedulers have set, each with its values and the schedulers that have them.

    Settings in which schedulers differ come first. The values of secrets are left out.
    """
    found = call.deps.reads.schedulers(since=call.now - call.deps.service_alive)
    return ok(_reported([SettingsReport(each.instance_id, each.settings) for each in found]))


@SETTINGS.get(
    "/settings/workers", id="listWorkerSettings", role="admin", reach="server", response=ReportedSettingsSchema
)
def list_worker_settings(call: Call) -> ApiResponse:
    """List the settings that live workers have set, each with its values and the workers that have them.

    Settings in which workers differ come first. The values of secrets are left out.
    """
    found = [each for each in call.deps.reads.workers() if each.believed_state(call.now) in {LIVE, DRAINING}]
    return ok(_reported([SettingsReport(each.worker_id, each.settings) for each in found]))


def _reported(reports: list[SettingsReport]) -> dict[str, Any]:
    silent = sorted(each.process for each in reports if each.settings is None)
    return {"processes": len(reports), "silent": silent, "settings": reported_json(reports, known_settings())}
