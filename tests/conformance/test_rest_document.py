"""Responses to generated requests conform to the OpenAPI document, and nobody gets beyond their role.

``DAGWAY_TEST_EXAMPLES`` is the number of requests to each operation (8).
"""

import inspect
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import booleans, sampled_from
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.api import openapi
from services.api.operations import Operation
from services.api.routes import OPERATIONS, docs
from services.api.settings import Settings
from services.scheduler.commands import audited
from shared.roles import outranks
from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import BUILTIN, Live, open_live
from tests.conformance.rest_stack import CHAIN, NOW, Stack, open_stack
from tests.conformance.store_rows import hash_of
from tests.harness.databases import migrated_sqlite

_NOT_ENDING = {"streamEvents", "streamDAGRunEvents"}
_EXAMPLES = int(os.environ.get("DAGWAY_TEST_EXAMPLES", "8"))
_WHO = ("nobody", "viewer", "operator", "manager", "admin", "limited")
"""Whom a request is from: nobody, a key with a role, or an admin's key that is limited to DAGs that do not exist."""
_UNLIMITED = frozenset({"getCurrentUser", "validateDAGSpec"})
"""Operations that show no DAG, so a limited key may use them."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("document")
    with open_stack(folder, settings=Settings()) as opened:
        opened.add_dag("a", CHAIN)
        key = opened.add_run("a", "r", "succeeded", CHAIN)
        opened.add(
            "dag_versions",
            file_name="a",
            version=1,
            spec_hash=hash_of(CHAIN),
            at=NOW,
            by="me",
        )
        opened.add_log(key, 0, "one\ntwo\n")
        opened.add("queues", name="a", kind="global", max_concurrency=1)
        yield opened


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A whole system. The static token has all rights."""
    folder: Path = tmp_path_factory.mktemp("live")
    deployment = Deployment(migrated_sqlite(folder / "dagway.db"), f"embedded:{folder}/transport.db", folder)
    settings = replace(BUILTIN, token="t")
    with open_live(deployment, settings) as opened:
        opened.post("/dags", {"name": "a", "spec": CHAIN}, status=201, token="t")
        opened.post("/dags/a/start?wait=60s", {"dagRunId": "r"}, token="t")
        yield opened


@pytest.fixture(scope="module")
def keys(live: Live) -> dict[str, str]:
    """The API key of each of ``_WHO``; empty for nobody."""
    made = {"nobody": ""}
    for who in _WHO[1:]:
        limits = {"role": "admin", "dags": ["no-such-dag-*"]} if who == "limited" else {"role": who}
        made[who] = live.post("/api-keys", {"name": who, **limits}, status=201, token="t")["key"]
    return made


@pytest.fixture(scope="module")
def document(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.get("/openapi.json")
    return found


@pytest.fixture(scope="module")
def schema(live: Live) -> Any:
    """The document as Schemathesis reads it, which takes longer than the requests to most operations."""
    return schemathesis.openapi.from_wsgi("/api/v2/openapi.json", live.client.application)


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    described = {each["operationId"] for path in document["paths"].values() for each in path.values()}

    assert described == {each.id for each in OPERATIONS}
    assert document["openapi"] == "3.1.0"
    assert "$defs" not in json.dumps(document)


def test_a_reader_who_has_only_the_document_understands_it(document: dict[str, Any]) -> None:
    operations = [each for path in document["paths"].values() for each in path.values()]

    assert {each["name"] for one in operations for each in one["parameters"] if not each["description"]} == set()
    assert [each["summary"] for each in operations if each["summary"].endswith("i.e") or "`" in each["summary"]] == []
    assert "contract" not in json.dumps(document), "what is not in the document cannot be looked up"


def test_the_filter_of_the_audit_log_names_every_kind_of_target(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/audit"]["get"]["parameters"]
    (text,) = [each["description"] for each in parameters if each["name"] == "targetKind"]

    kinds = {*re.findall(r'kind="(\w+)"', inspect.getsource(audited)), "audit", "dag"}
    assert kinds <= {*re.findall(r"\w+", text)}


def test_a_query_parameter_without_a_default_is_required(document: dict[str, Any]) -> None:
    required = {
        (operation["operationId"], each["name"])
        for path in document["paths"].values()
        for operation in path.values()
        for each in operation["parameters"]
        if each["in"] == "query" and each["required"]
    }

    assert required == {("searchStepLog", "q"), ("searchSubStepLog", "q")}


def test_no_component_has_the_name_that_a_generated_client_gives_to_an_enum(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    enums = {
        f"{name}{field[0].upper()}{field[1:]}"
        for name, schema in schemas.items()
        for field, described in schema.get("properties", {}).items()
        if "enum" in described
    }

    assert "PauseState" in enums
    assert enums.isdisjoint(schemas)


def test_failures_that_mean_more_than_elsewhere_are_described(document: dict[str, Any]) -> None:
    described = document["paths"]["/dags/{fileName}/start-sync"]["post"]["responses"]
    elsewhere = document["paths"]["/dags/{fileName}/start"]["post"]["responses"]

    assert "the run continues" in described["408"]["description"]
    assert "too many requests wait" in described["503"]["description"]
    assert "wait" not in elsewhere["503"]["description"]
    schema = {**described["408"]["content"]["application/json"]["schema"], "components": document["components"]}
    assert document["components"]["schemas"]["StartSyncTimeout"]["properties"]["dagRunId"]["type"] == "string"
    for body in ({"code": "timeout", "message": "m", "dagRunId": "r"}, {"code": "bad_request", "message": "m"}):
        Draft202012Validator(schema).validate(body)


def test_the_session_cookie_is_a_security_scheme_where_there_are_sessions(live: Live, document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"].keys() == {"bearer", "basic"}

    found = live.get("/openapi.json")

    schemes = found["components"]["securitySchemes"]
    assert (schemes["session"]["in"], schemes["session"]["name"]) == ("cookie", "dagway-session")
    assert schemes["ownPage"]["name"] == "Sec-Fetch-Site"
    assert {"session": []} in found["security"]
    for operation in OPERATIONS:
        if operation.write and operation.role != "public":
            allowed = found["paths"][operation.path][operation.method.lower()]["security"]
            assert {"session": [], "ownPage": []} in allowed
            assert {"session": []} not in allowed


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URL path of each document that is made from now on."""
    bases: list[str] = []

    def counted(*args: Any, **facts: Any) -> dict[str, Any]:
        bases.append(facts["base"])
        return openapi.document(*args, **facts)

    monkeypatch.setattr(docs, "document", counted)
    return bases


def test_the_document_is_made_once(tmp_path: Path, made: list[str]) -> None:
    base = f"/{tmp_path.name}"
    with open_stack(tmp_path, base_path=base) as here, open_stack(tmp_path / "other", base_path=f"{base}/b") as there:
        answers = [stack.client.get(f"{stack.deps.base_path}/api/v2/openapi.json") for stack in (here, there, here)]
        assert here.client.get(f"{base}/api/v2/docs").status_code == 200

    urls = [answer.get_json()["servers"][0]["url"] for answer in answers]
    assert urls == [f"{base}/api/v2", f"{base}/b/api/v2", f"{base}/api/v2"]
    assert made == urls[:2]


def test_the_document_is_made_once_for_all_ports(tmp_path: Path, made: list[str]) -> None:
    path = f"/{tmp_path.name}/api/v2/openapi.json"
    with open_stack(tmp_path, base_path=f"/{tmp_path.name}", settings=Settings(token="t")) as stack:
        answers = [stack.client.get(path, headers={"Host": f"localhost:{port}"}).get_json() for port in (81, 82)]

    names = [answer["components"]["securitySchemes"]["session"]["name"] for answer in answers]
    assert names == ["dagway-session-81", "dagway-session-82"]
    assert made == [f"/{tmp_path.name}/api/v2"]


def test_the_page_needs_nothing_from_elsewhere(stack: Stack) -> None:
    page = stack.api("GET", "/docs").get_data(as_text=True)

    assert "/dag-runs/{name}/{dagRunId}" in page
    assert "With <code>wait</code>, the response comes" in page
    assert not any(word in page for word in ("http://", "https://", "//cdn", "<script src"))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: f"{operation.method}-{operation.id}")
def test_responses_to_generated_requests_conform_to_the_document(
    schema: Any, document: dict[str, Any], keys: dict[str, str], operation: Any
) -> None:
    if operation.id in _NOT_ENDING:
        assert document["paths"][operation.path]["get"]["responses"]["200"]["content"].keys() == {"text/event-stream"}
        return
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[operation.path][operation.method].as_strategy(), known=booleans(), who=sampled_from(_WHO))
    def run(case: Any, known: bool, who: str) -> None:
        if known:
            # Something that is there, unless an operation tried before has removed it.
            names = {name: _NAMES[name] for name in case.path_parameters or {} if name in _NAMES}
            case.path_parameters = {**(case.path_parameters or {}), **names}
        for token in (keys[who], "t"):
            credentials = {"Authorization": f"Bearer {token}"} if token else {}
            response = case.call(headers={**credentials, "Accept-Encoding": "identity"})
            case.validate_response(response, checks=checks)
            if token != "t":
                _check_admission(operation, who, response.status_code)

    run()


def _check_admission(operation: Operation, who: str, status: int) -> None:
    if operation.role == "public":
        return
    if who == "nobody":
        assert status == 401
    elif who == "limited":
        # Before the scope is checked, a wrong name or remote node is a 400. test_rest_failures has the rest.
        assert operation.id in _UNLIMITED or 400 <= status < 500
    elif not outranks(who, operation.role):
        assert status == 403
    else:
        assert status != 401


_NAMES = {"fileName": "a", "name": "a", "dagRunId": "r", "stepName": "pull", "version": "1"}
_FOUND = [
    each
    for each in OPERATIONS
    if each.method == "GET"
    and each.permission is None
    and each.role == "viewer"
    and "sub-dag-runs/" not in each.path
    and each.id not in {*_NOT_ENDING, "getCurrentUser"}
]


@pytest.mark.parametrize("operation", _FOUND, ids=lambda operation: operation.id)
def test_successful_responses_conform_to_the_document(stack: Stack, document: dict[str, Any], operation: Any) -> None:
    path = operation.path
    for name, value in _NAMES.items():
        path = path.replace(f"{{{name}}}", value)

    response = stack.api("GET", path, query_string={"q": "echo"} if operation.id.startswith("search") else {})

    assert response.status_code == 200, response.get_data(as_text=True)
    described = document["paths"][operation.path]["get"]["responses"]["200"].get("content", {})
    if "application/json" in described:
        schema = {**described["application/json"]["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(response.get_json())
