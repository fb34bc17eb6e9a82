"""The requests of operations: commands. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.runs import CommandSchema

__all__ = ["get_command"]


def get_command(command_id: str) -> ApiCall[CommandSchema]:
    """Return the recorded outcome of a command."""
    return ApiCall("GET", path_of("commands", command_id), model(CommandSchema))
