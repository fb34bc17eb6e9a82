"""The requests of operations: webhooks. Written by ``python -m scripts.client_operations``."""

from typing import Any

from dagway.client.api_call import ApiCall, model, no_content, path_of
from services.api.response_schemas.accounts import TriggeredSchema, WebhookMadeSchema, WebhookSchema, WebhooksSchema

__all__ = [
    "create_dag_webhook",
    "delete_dag_webhook",
    "get_dag_webhook",
    "list_webhooks",
    "regenerate_dag_webhook_token",
    "toggle_dag_webhook",
    "trigger_webhook",
]


def list_webhooks() -> ApiCall[WebhooksSchema]:
    """List all webhooks, sorted by the file name of their DAG, without their tokens."""
    return ApiCall("GET", "/webhooks", model(WebhooksSchema))


def get_dag_webhook(file_name: str) -> ApiCall[WebhookSchema]:
    """Return the webhook of a DAG, without its token."""
    return ApiCall("GET", path_of("dags", file_name, "webhook"), model(WebhookSchema))


def create_dag_webhook(file_name: str) -> ApiCall[WebhookMadeSchema]:
    """Create the webhook of a DAG."""
    return ApiCall("POST", path_of("dags", file_name, "webhook"), model(WebhookMadeSchema))


def delete_dag_webhook(file_name: str) -> ApiCall[None]:
    """Delete the webhook of a DAG."""
    return ApiCall("DELETE", path_of("dags", file_name, "webhook"), no_content)


def regenerate_dag_webhook_token(file_name: str) -> ApiCall[WebhookMadeSchema]:
    """Replace the token of a DAG's webhook and the secret for signatures."""
    return ApiCall("POST", path_of("dags", file_name, "webhook", "regenerate"), model(WebhookMadeSchema))


def toggle_dag_webhook(file_name: str, *, enabled: bool) -> ApiCall[WebhookSchema]:
    """Enable or disable the webhook of a DAG."""
    return ApiCall(
        "POST", path_of("dags", file_name, "webhook", "toggle"), model(WebhookSchema), body={"enabled": enabled}
    )


def trigger_webhook(
    file_name: str,
    *,
    dag_run_id: str | None = None,
    payload: dict[str, Any] | None = None,
    webhook_id: str | None = None,
    webhook_timestamp: str | None = None,
    webhook_signature: str | None = None,
) -> ApiCall[TriggeredSchema]:
    """Trigger a webhook: queue a run of its DAG."""
    return ApiCall(
        "POST",
        path_of("webhooks", file_name),
        model(TriggeredSchema),
        body={"dagRunId": dag_run_id, "payload": payload},
        headers={
            "webhook-id": webhook_id,
            "webhook-timestamp": webhook_timestamp,
            "webhook-signature": webhook_signature,
        },
    )
