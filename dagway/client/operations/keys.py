"""The requests of operations: keys. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, no_content, path_of
from services.api.response_schemas.accounts import ApiKeyAnswerSchema, ApiKeyMadeSchema, ApiKeysSchema

__all__ = ["create_api_key", "delete_api_key", "get_api_key", "list_api_keys", "update_api_key"]


def list_api_keys() -> ApiCall[ApiKeysSchema]:
    """List all API keys, oldest first, without their secrets."""
    return ApiCall("GET", "/api-keys", model(ApiKeysSchema))


def create_api_key(
    *,
    name: str,
    role: str,
    description: str | None = None,
    expires_at: str | None = None,
    dags: list[str] | None = None,
) -> ApiCall[ApiKeyMadeSchema]:
    """Create an API key."""
    return ApiCall(
        "POST",
        "/api-keys",
        model(ApiKeyMadeSchema),
        body={"name": name, "description": description, "role": role, "expiresAt": expires_at, "dags": dags},
    )


def get_api_key(key_id: str) -> ApiCall[ApiKeyAnswerSchema]:
    """Return one API key, without its secret."""
    return ApiCall("GET", path_of("api-keys", key_id), model(ApiKeyAnswerSchema))


def update_api_key(
    key_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    role: str | None = None,
    expires_at: str | None = None,
    dags: list[str] | None = None,
) -> ApiCall[ApiKeyAnswerSchema]:
    """Change an API key."""
    return ApiCall(
        "PATCH",
        path_of("api-keys", key_id),
        model(ApiKeyAnswerSchema),
        body={"name": name, "description": description, "role": role, "expiresAt": expires_at, "dags": dags},
    )


def delete_api_key(key_id: str) -> ApiCall[None]:
    """Delete an API key."""
    return ApiCall("DELETE", path_of("api-keys", key_id), no_content)
