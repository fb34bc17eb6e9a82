"""Commands about webhooks. A DAG has at most one."""

from pydantic import Field

from shared.contracts.commands.base import Command

__all__ = ["CreateWebhook", "DeleteWebhook", "RegenerateWebhook", "ToggleWebhook", "WebhookCommand"]


class WebhookCommand(Command):
    """Base of the commands about webhooks. ``file_name`` is the file name of the DAG."""

    file_name: str


class CreateWebhook(WebhookCommand):
    """Create the webhook of a DAG. Refused if the DAG does not exist or already has a webhook."""

    type = "webhook.create"
    webhook_id: str
    prefix: str
    secret_hash: str = Field(repr=False)
    created_by: str


class RegenerateWebhook(WebhookCommand):
    """Replace the token of a webhook. Calls with the old token are refused from then on."""

    type = "webhook.regenerate"
    prefix: str
    secret_hash: str = Field(repr=False)


class ToggleWebhook(WebhookCommand):
    """Enable or disable a webhook."""

    type = "webhook.toggle"
    enabled: bool


class DeleteWebhook(WebhookCommand):
    """Delete a webhook."""

    type = "webhook.delete"
