"""The requests of operations: dead letters. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model
from services.api.response_schemas.dead_letters import DeadLetterOutcomesSchema, DeadLettersSchema

__all__ = ["discard_dead_letters", "list_dead_letters", "return_dead_letters"]


def list_dead_letters() -> ApiCall[DeadLettersSchema]:
    """List the first 500 dead letters: messages that could not be handled, as they were a few seconds ago."""
    return ApiCall("GET", "/dead-letters", model(DeadLettersSchema))


def return_dead_letters(*, ids: list[str]) -> ApiCall[DeadLetterOutcomesSchema]:
    """Send up to 500 dead letters to the broker queues that they came from."""
    return ApiCall("POST", "/dead-letters/bulk/return", model(DeadLetterOutcomesSchema), body={"ids": ids})


def discard_dead_letters(*, ids: list[str]) -> ApiCall[DeadLetterOutcomesSchema]:
    """Delete up to 500 dead letters."""
    return ApiCall("POST", "/dead-letters/bulk/discard", model(DeadLetterOutcomesSchema), body={"ids": ids})
