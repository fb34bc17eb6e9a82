"""The requests of operations: effective settings. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model
from services.api.response_schemas.settings import ReportedSettingsSchema, SettingsSchema

__all__ = ["list_scheduler_settings", "list_settings", "list_worker_settings"]


def list_settings() -> ApiCall[SettingsSchema]:
    """List the settings of this gateway, each with its value, default, source and meaning."""
    return ApiCall("GET", "/settings", model(SettingsSchema))


def list_scheduler_settings() -> ApiCall[ReportedSettingsSchema]:
    """List the settings that live schedulers have set, each with its values and the schedulers that have them."""
    return ApiCall("GET", "/settings/schedulers", model(ReportedSettingsSchema))


def list_worker_settings() -> ApiCall[ReportedSettingsSchema]:
    """List the settings that live workers have set, each with its values and the workers that have them."""
    return ApiCall("GET", "/settings/workers", model(ReportedSettingsSchema))
