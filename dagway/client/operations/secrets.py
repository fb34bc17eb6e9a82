"""The requests of operations: secrets. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, no_content, path_of
from services.api.response_schemas.secrets import RotatedSchema, SecretSetSchema, SecretsSchema

__all__ = ["delete_secret", "list_secrets", "rotate_secrets", "set_secret"]


def list_secrets() -> ApiCall[SecretsSchema]:
    """List the stored secrets, without their values."""
    return ApiCall("GET", "/secrets", model(SecretsSchema))


def set_secret(name: str, *, value: str, dags: list[str] | None = None) -> ApiCall[SecretSetSchema]:
    """Store a secret, or replace its value and its ``dags``."""
    return ApiCall("PUT", path_of("secrets", name), model(SecretSetSchema), body={"value": value, "dags": dags})


def delete_secret(name: str) -> ApiCall[None]:
    """Delete a stored secret."""
    return ApiCall("DELETE", path_of("secrets", name), no_content)


def rotate_secrets() -> ApiCall[RotatedSchema]:
    """Seal again, with the first key, up to 10 stored secrets that another key seals."""
    return ApiCall("POST", "/secrets/rotate", model(RotatedSchema))
