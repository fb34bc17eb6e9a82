"""Commands about webhooks. A DAG has at most one."""

from pydantic import Field

from shared.contracts.commands.base import Command

__all__ = ["CreateWebhook", "DeleteWebhook", "RegenerateWebhook", "ToggleWebhook", "WebhookCommand"]


class WebhookCommand(Command):
    """Base of these commands. ``file_name`` is the DAG's."""

    file_name: str


class CreateWebhook(WebhookCommand):
    """Create the webhook of a DAG. Refused if the DAG does not exist or has one."""

    type = "webhook.create"
    webhook_id: str
    prefix: str
    secret_hash: str = Field(repr=False)
    created_by: str


class RegenerateWebhook(WebhookCommand):
    """Replace the token of a webhook. The old one stops working."""

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
