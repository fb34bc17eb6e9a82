"""The Python client has a typed method for every operation of the API."""

import inspect
import json
import re
from typing import Any, get_type_hints

import pytest

from dagway.client import AsyncClient, Client
from dagway.client import operations as package
from dagway.client.api_call import ApiCall
from dagway.client.exchange import HttpAnswer, Send, exchange
from dagway.client.operations import pauses, system, webhooks
from scripts.client_operations import FOLDER, files, method_name
from services.api.operations import Operation
from services.api.routes import OPERATIONS

STREAMS = {"streamDAGRunEvents": "run_events", "streamEvents": "events"}
EXAMPLES: dict[Any, Any] = {str: "one", int: 1, bool: True, list[str]: ["one"]}


def _sent(call: ApiCall[Any]) -> Send:
    asked = next(exchange(call))
    assert isinstance(asked, Send)
    return asked


def _call(operation: Operation) -> ApiCall[Any]:
    """Return the call of an operation, with an example for each argument that it requires."""
    module = operation.handler.__module__.rpartition(".")[2]
    __import__(f"{package.__name__}.{module}")
    build = getattr(getattr(package, module), method_name(operation.id))
    kinds = get_type_hints(build)
    required = [
        each.name for each in inspect.signature(build).parameters.values() if each.default is inspect.Parameter.empty
    ]
    call: ApiCall[Any] = build(
        **{name: EXAMPLES.get(kinds[name], [{"name": "a", "dagRunId": "b"}]) for name in required}
    )
    return call


def test_the_methods_are_those_of_the_operations() -> None:
    texts = files()

    assert {path.name: text for path, text in texts.items() if path.read_text() != text} == {}, (
        "run: python -m scripts.client_operations"
    )
    assert {path for path in FOLDER.glob("*.py") if path not in texts} == set()


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_every_operation_has_a_method(client: type) -> None:
    wanted = {STREAMS.get(each.id) or method_name(each.id) for each in OPERATIONS}

    assert {name for name in wanted if not callable(getattr(client, name, None))} == set()


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_program_that_asks_for_the_parameters_of_a_method_is_told_them(client: type[Client | AsyncClient]) -> None:
    told = inspect.signature(client.start)

    assert list(told.parameters) == ["self", "file_name", "params", "run_id", "singleton"]
    assert told.return_annotation is str


def test_the_methods_of_asyncio_are_coroutines() -> None:
    names = {method_name(each.id) for each in OPERATIONS if each.id not in STREAMS}

    assert {name for name in names if not inspect.iscoroutinefunction(getattr(AsyncClient, name))} == set()


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.id not in STREAMS], ids=lambda each: each.id)
def test_a_request_is_one_that_its_operation_accepts(operation: Operation) -> None:
    sent = _sent(_call(operation))

    assert sent.method == operation.method
    assert "Idempotency-Key" in sent.headers or not operation.write
    assert re.fullmatch(re.sub(r"\{\w+\}", "one", operation.path), sent.path)
    if operation.body is not None and operation.body_required:
        operation.body.model_validate(json.loads(sent.body or b""), strict=False)
    if operation.query is not None:
        operation.query.model_validate(sent.query)


def test_arguments_that_are_not_given_are_not_sent() -> None:
    assert json.loads(_sent(pauses.pause_queue("a/b")).body or b"") == {}
    assert _sent(pauses.pause_queue("a/b")).path == "/queues/a%2Fb/pause"
    signed = _sent(webhooks.trigger_webhook("etl", payload={"a": 1}, webhook_id="m1"))
    assert json.loads(signed.body or b"") == {"payload": {"a": 1}}
    assert {name: value for name, value in signed.headers.items() if name.startswith("webhook")} == {"webhook-id": "m1"}


def test_an_answer_that_is_no_json_is_text() -> None:
    conversation = exchange(system.get_metrics())
    next(conversation)
    with pytest.raises(StopIteration) as done:
        conversation.send(HttpAnswer(200, b"# HELP dagu_info\n"))

    assert done.value.value == "# HELP dagu_info\n"
