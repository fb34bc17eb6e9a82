"""``dagway mcp``: a server of the Model Context Protocol on standard input and output, for assistants."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import click

from services.cli.errors import GatewayError
from services.cli.help_pages import PageCommand
from services.cli.mcp.tools import ArgumentError, Tool, tools_of
from services.cli.remote.connecting import with_gateway
from services.cli.remote.gateway import Gateway
from shared.errors import ConfigInvalid
from shared.roles import ROLES

if TYPE_CHECKING:
    from mcp import types
    from mcp.server import Server

__all__ = ["answer", "mcp_command"]

_INSTRUCTIONS = (
    "Dagway runs workflows (DAGs). A DAG is a YAML file with steps; a DAG run is one execution of it. "
    "DAGs are addressed by fileName, runs by the name of their DAG and a dagRunId ('latest' is the newest run)."
)
_EXAMPLES = """
dagway mcp                                         read-only tools for the gateway on this machine
dagway mcp --profile production --role operator    tools that also start, stop and retry runs
dagway mcp --workspace acme                        tools for one workspace
"""


@click.command("mcp", cls=PageCommand, examples=_EXAMPLES)
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="viewer",
    show_default=True,
    help="offer the operations of this role; viewer: nothing that changes anything",
)
@with_gateway
def mcp_command(gateway: Gateway, *, role: str) -> None:
    """Serve the API to an AI assistant, over the Model Context Protocol.

    The assistant starts this command and talks to it by standard input and output. The operations of the API are its
    tools. The gateway checks each call: a tool can do no more than the credentials allow.
    """
    try:
        import mcp.server  # noqa: F401, PLC0415 - optional
    except ImportError as error:
        raise ConfigInvalid("dagway mcp needs the package mcp: pip install '.[mcp]' in a clone of Dagway") from error
    # Only requests about a workspace name it: those that change the whole server are refused with one.
    server = Gateway(replace(gateway.connection, workspace=""))
    tools = {
        tool.name: tool for tool in tools_of(server.get("/openapi.json"), role, workspace=gateway.connection.workspace)
    }
    asyncio.run(_serve(_server(server, tools)))


async def _serve(server: "Server[Any]") -> None:
    from mcp.server.stdio import stdio_server  # noqa: PLC0415

    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def _server(gateway: Gateway, tools: Mapping[str, Tool]) -> "Server[Any]":
    from mcp import types  # noqa: PLC0415
    from mcp.server import Server  # noqa: PLC0415

    listed = [
        types.Tool(
            name=tool.name,
            description=tool.description,
            input_schema=dict(tool.schema),
            annotations=_hints(tool),
        )
        for tool in tools.values()
    ]

    async def list_tools(_context: Any, _params: Any) -> "types.ListToolsResult":
        return types.ListToolsResult(tools=listed)

    async def call_tool(_context: Any, params: "types.CallToolRequestParams") -> "types.CallToolResult":
        text, failed = await asyncio.to_thread(answer, gateway, tools, params.name, params.arguments or {})
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=failed)

    return Server(
        "dagway",
        version=version("dagway"),
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _hints(tool: Tool) -> "types.ToolAnnotations":
    """Return what a client may tell its user before a call. Two hints have a meaning only for what changes things."""
    from mcp import types  # noqa: PLC0415

    if tool.reads:
        return types.ToolAnnotations(read_only_hint=True)
    return types.ToolAnnotations(read_only_hint=False, destructive_hint=not tool.adds, idempotent_hint=tool.repeatable)


def answer(gateway: Gateway, tools: Mapping[str, Tool], name: str, arguments: Mapping[str, Any]) -> tuple[str, bool]:
    """Carry out a call; return the text of the answer and whether it failed."""
    if name not in tools:
        return f"there is no tool {name!r} for this role", True
    try:
        request = tools[name].request(arguments)
        content = gateway.send(request.method, request.path, request.query, request.body)
    except (ArgumentError, GatewayError) as error:
        return str(error).encode(errors="replace").decode(), True
    # A lone surrogate, as a remote node may answer, cannot be sent on: it would end this process.
    return json.dumps(content, ensure_ascii=False).encode(errors="replace").decode(), False
