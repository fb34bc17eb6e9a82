"""The requests of operations: effective settings. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model
from services.api.response_schemas.settings import SettingsSchema

__all__ = ["list_settings"]


def list_settings() -> ApiCall[SettingsSchema]:
    """List the settings of this gateway, each with its value, default, source and meaning."""
    return ApiCall("GET", "/settings", model(SettingsSchema))
