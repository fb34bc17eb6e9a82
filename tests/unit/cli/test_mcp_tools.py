"""The tools of ``dagway mcp``: which there are for a role, and what a call sends."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from services.api.openapi import document
from services.api.routes import OPERATIONS
from services.cli.errors import GatewayError
from services.cli.mcp.serving import answer
from services.cli.mcp.tools import ArgumentError, GatewayRequest, Tool, tools_of

DOCUMENT: dict[str, Any] = document(OPERATIONS, version="1", base="/api/v2", builtin=True)


def named(role: str) -> dict[str, Tool]:
    return {tool.name: tool for tool in tools_of(DOCUMENT, role)}


def test_a_viewer_has_reads_only() -> None:
    tools = named("viewer")

    assert {"listDAGs", "getDAGRunDetails", "getDAGRunStepLog", "validateDAGSpec", "listQueues"} <= set(tools)
    # Validating changes nothing, although it is a POST; the GET of dequeue does.
    assert {tool.name for tool in tools.values() if tool.method != "GET"} == {"validateDAGSpec"}
    assert "dequeueDAGRun" not in tools
    assert all(tool.reads for tool in tools.values())


def test_each_role_has_what_its_operations_need() -> None:
    assert {"executeDAG", "dequeueDAGRun"} <= set(named("operator")) - set(named("viewer"))
    assert {"deleteDAG", "updateDAGSpec"} <= set(named("manager")) - set(named("operator"))
    assert {"listAuditEntries", "createUser"} <= set(named("admin")) - set(named("manager"))
    assert not named("operator")["dequeueDAGRun"].reads
    assert named("operator")["getCommand"].reads


def test_a_tool_says_what_it_may_destroy_and_whether_it_may_be_repeated() -> None:
    tools = named("admin")

    assert {name for name, tool in tools.items() if tool.adds} == {
        "createAPIKey", "createDAGWebhook", "createNewDAG", "createUser", "createWorkspace"
    }  # fmt: skip
    assert [tools[name].repeatable for name in ("deleteDAG", "updateDAGSpec", "executeDAG")] == [True, True, False]


def test_params_may_be_text_or_an_object_or_a_list() -> None:
    schema = Draft202012Validator(named("operator")["executeDAG"].schema)

    for params in ("NAME=Ada", {"NAME": "Ada", "N": 2}, ["a", {"NAME": "Ada"}]):
        assert schema.is_valid({"fileName": "a", "body": {"params": params}}), params
    assert not schema.is_valid({"fileName": "a", "body": {"params": 1}})


def test_streams_pages_logins_and_long_waits_are_no_tools() -> None:
    none = {"streamEvents", "getMetrics", "getReference", "login", "triggerWebhook", "executeDAGSync"}
    assert not none & set(named("admin"))


def test_every_tool_has_a_valid_schema_that_needs_no_other_document() -> None:
    for tool in named("admin").values():
        Draft202012Validator.check_schema(tool.schema)
        assert "#/components" not in str(tool.schema)
        list(Draft202012Validator(tool.schema).iter_errors({}))


def test_a_call_becomes_a_request() -> None:
    tools = named("operator")

    assert tools["executeDAG"].request({"fileName": "a/b", "body": {"params": "X=1"}}) == GatewayRequest(
        "POST", "/dags/a%2Fb/start", {}, {"params": "X=1"}
    )
    assert tools["listDAGRuns"].request({"status": 2}) == GatewayRequest("GET", "/dag-runs", {"status": 2}, None)


def test_the_tools_of_a_workspace_reach_no_other() -> None:
    tools = {tool.name: tool for tool in tools_of(DOCUMENT, "admin", workspace="acme")}

    assert tools["listDAGs"].request({"name": "a"}).query == {"name": "a", "workspace": "acme"}
    with pytest.raises(ArgumentError, match="has no argument workspace"):
        tools["listDAGs"].request({"workspace": "beta"})
    # The gateway refuses a workspace with a change of the whole server.
    assert tools["createUser"].request({"body": {"username": "ann"}}).query == {}
    assert named("viewer")["listDAGs"].request({"workspace": "beta"}).query == {"workspace": "beta"}


def test_wrong_arguments_are_named() -> None:
    tool = named("viewer")["getDAGRunDetails"]

    with pytest.raises(ArgumentError, match="needs the argument dagRunId"):
        tool.request({"name": "a"})
    with pytest.raises(ArgumentError, match="has no argument runId"):
        tool.request({"name": "a", "runId": "r"})
    # A client would send this as /users, for which the tool is not offered.
    with pytest.raises(ArgumentError, match="name: must not be a dot or two"):
        tool.request({"name": "..", "dagRunId": "users"})


def test_every_answer_is_text_that_can_be_sent_on() -> None:
    class RemoteNode:
        content: Any = None

        def send(self, *_request: object) -> Any:
            if isinstance(self.content, Exception):
                raise self.content
            return self.content

    tools, node = named("viewer"), RemoteNode()
    given: Any = node

    node.content = {"name": "é\ud800"}
    assert answer(given, tools, "listQueues", {}) == ('{"name": "é?"}', False)
    node.content = GatewayError("é\ud800")
    assert answer(given, tools, "listQueues", {}) == ("é?", True)
