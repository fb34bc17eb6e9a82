"""Commands about webhooks: one per dag file, by its name without extension."""

from pydantic import Field

from shared.contracts.commands import Command

__all__ = ["CreateWebhook", "DeleteWebhook", "RegenerateWebhook", "ToggleWebhook", "WebhookCommand"]


class WebhookCommand(Command):
    """What these have in common."""

    file_name: str


class CreateWebhook(WebhookCommand):
    """Refused when the dag is missing or has one."""

    type = "webhook.create"
    webhook_id: str
    prefix: str
    secret_hash: str = Field(repr=False)
    created_by: str


class RegenerateWebhook(WebhookCommand):
    """Replace the token; the old one is worth nothing from then on."""

    type = "webhook.regenerate"
    prefix: str
    secret_hash: str = Field(repr=False)


class ToggleWebhook(WebhookCommand):
    """Switch it on or off."""

    type = "webhook.toggle"
    enabled: bool


class DeleteWebhook(WebhookCommand):
    """Remove it."""

    type = "webhook.delete"
