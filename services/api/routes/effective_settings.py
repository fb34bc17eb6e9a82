"""The effective settings of a gateway, for administrators: an addition to the contract."""

from services.api.operations import ApiResponse, Call, Operations, ok
from services.api.response_schemas.settings import SettingsSchema

__all__ = ["SETTINGS"]

SETTINGS = Operations()


@SETTINGS.get("/settings", id="listSettings", role="admin", reach="server", response=SettingsSchema)
def list_settings(call: Call) -> ApiResponse:
    """List the settings of this gateway, each with its value, default, source and meaning.

    The values of secrets are left out. In `dagway up` these are the settings of all its services; other services of a
    distributed system have settings of their own, which a gateway does not know.
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
