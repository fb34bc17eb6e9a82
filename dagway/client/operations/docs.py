"""The requests of operations: docs. Written by ``python -m scripts.client_operations``."""

from typing import Any

from dagway.client.api_call import ApiCall, model

__all__ = ["get_open_api", "get_reference"]


def get_open_api() -> ApiCall[dict[str, Any]]:
    """Return the OpenAPI 3.1 document of this API."""
    return ApiCall("GET", "/openapi.json", model(dict[str, Any]))


def get_reference() -> ApiCall[str]:
    """Return the reference of this API as an HTML page, made from the OpenAPI document."""
    return ApiCall("GET", "/docs", model(str), is_text=True)
