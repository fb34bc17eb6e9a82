"""Write ``dagway/client/operations``, a typed method for each operation: ``python -m scripts.client_operations``."""

import re
import subprocess
import sys
import tempfile
import types
import typing
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, SecretStr
from pydantic.fields import FieldInfo

from services.api.operations import Operation
from services.api.routes import OPERATIONS

__all__ = ["FOLDER", "files", "main", "method_name"]

_ROOT = Path(__file__).parents[1]
FOLDER = _ROOT / "dagway/client/operations"
_HERE = "Written by ``python -m scripts.client_operations``."
_STREAM = "text/event-stream"
_LINE = 117
_RENAMED = {("rescheduleDAGRun", "dag_run_id"): "new_dag_run_id"}
"""Fields of a body with the name of a parameter in the path."""
_LEFT_OUT = {("retryDAGRun", "dag_run_id"), ("listDAGRunsByName", "name")}
"""Fields that say what the path says already."""
_TAKES = {"executeDAGSync": "timeout"}
"""Operations that the gateway answers later than others: up to so many seconds as this field of the body says."""
_BY_THE_CLIENT = {"Last-Event-ID", "Idempotency-Key"}


def method_name(name: str) -> str:
    """Return a name of the API in snake case: ``listDAGRuns`` is ``list_dag_runs``."""
    for acronym in ("DAG", "API"):
        name = name.replace(acronym, acronym.capitalize())
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def files() -> Mapping[Path, str]:
    """Return the text of each file. Event streams are left out: the clients follow them with methods of their own."""
    by_module: dict[str, list[Operation]] = {}
    for operation in OPERATIONS:
        if operation.media_type != _STREAM:
            by_module.setdefault(operation.handler.__module__.rpartition(".")[2], []).append(operation)
    texts = {FOLDER / f"{module}.py": _module(module, listed) for module, listed in by_module.items()}
    texts[FOLDER / "__init__.py"] = f'"""The requests of all operations of the API, as data. {_HERE}"""\n'
    texts[FOLDER / "blocking.py"] = _methods("OperationMethods", "Sender", "method", by_module)
    texts[FOLDER / "on_asyncio.py"] = _methods("AsyncOperationMethods", "AsyncSender", "async_method", by_module)
    return _formatted(texts)


def _methods(name: str, base: str, decorator: str, by_module: Mapping[str, Iterable[Operation]]) -> str:
    modules = ", ".join(sorted(by_module))
    lines = [
        f'"""A method for each operation of the API. {_HERE}"""\n',
        f"from dagway.client.methods import {base}, {decorator}",
        f"from dagway.client.operations import {modules}\n",
        f'__all__ = ["{name}"]\n\n',
        f"class {name}({base}):",
        '    """The operations of the API under their names in the OpenAPI document, in snake case."""\n',
    ]
    for module, listed in sorted(by_module.items()):
        names = [method_name(each.id) for each in listed]
        lines += [f"    {each} = {decorator}({module}.{each})" for each in names]
    return "\n".join(lines) + "\n"


def _module(module: str, operations: Iterable[Operation]) -> str:
    functions = [_function(each) for each in operations]
    body = "\n\n".join(functions)
    models: dict[str, set[str]] = {}
    for each in operations:
        if each.response is not None:
            models.setdefault(each.response.__module__, set()).add(each.response.__name__)
    used = [name for name in ("model", "no_content", "path_of") if re.search(rf"\b{name}[(),]", body)]
    imports = [f"from {home} import {', '.join(sorted(names))}" for home, names in sorted(models.items())]
    names = [f'"{method_name(each.id)}"' for each in operations]
    standard = ["from datetime import datetime"] if "datetime" in body else []
    typed = [name for name in ("Any", "Literal") if re.search(rf"\b{name}\b", body)]
    if typed:
        standard.append(f"from typing import {', '.join(typed)}")
    return "\n".join(
        [
            f'"""The requests of operations: {module.replace("_", " ")}. {_HERE}"""\n',
            *standard,
            "",
            f"from dagway.client.api_call import {', '.join(['ApiCall', *used])}",
            *imports,
            f"\n__all__ = [{', '.join(sorted(names))}]\n\n",
            body,
        ]
    )


def _function(operation: Operation) -> str:
    in_path = re.findall(r"\{(\w+)\}", operation.path)
    given = [f"{method_name(name)}: str" for name in in_path]
    body, query = _fields(operation, operation.body), _fields(operation, operation.query)
    headers = [each for each in operation.headers if each not in _BY_THE_CLIENT]
    named = [_declared(name, field) for name, _, field in (*body, *query)]
    named.sort(key=lambda each: each.endswith("= None"))
    named += [f"{_header_name(each)}: str | None = None" for each in headers]
    signature = ", ".join([*given, *(["*", *named] if named else [])])
    result, read = _result(operation)
    arguments = [f'"{operation.method}"', _path(operation.path), read]
    if query:
        arguments.append(f"query={_map(query)}")
    if body:
        arguments.append(f"body={_map(body)}")
    if headers:
        arguments.append("headers={" + ", ".join(f'"{each}": {_header_name(each)}' for each in headers) + "}")
    if takes := _TAKES.get(operation.id):
        arguments.append(f"takes_s={takes}")
    if result == "str":
        arguments.append("is_text=True")
    return "\n".join(
        [
            f"def {method_name(operation.id)}({signature}) -> ApiCall[{result}]:",
            f'    """{_summary(operation)}"""',
            f"    return ApiCall({', '.join(arguments)})",
            "",
        ]
    )


def _fields(operation: Operation, of: type[BaseModel] | None) -> list[tuple[str, str, FieldInfo]]:
    """Return the fields of a body or a query: the name of the argument, the name in the request, and the field."""
    found = [] if of is None else [*of.model_fields.items()]
    return [
        (_RENAMED.get((operation.id, name), name), field.alias or name, field)
        for name, field in found
        if (operation.id, name) not in _LEFT_OUT
    ]


def _declared(name: str, field: FieldInfo) -> str:
    kind = _kind(field.annotation)
    if field.is_required():
        return f"{name}: {kind}"
    return f"{name}: {kind} = None" if kind.endswith("| None") else f"{name}: {kind} | None = None"


def _kind(annotation: Any) -> str:
    """Return a type as an argument has it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_kind(each) for each in arguments)
    if origin is typing.Literal:
        return f"Literal[{', '.join(repr(each) for each in arguments)}]"
    if origin in (list, dict):
        return f"{origin.__name__}[{', '.join(_kind(each) for each in arguments)}]"
    if annotation is type(None):
        return "None"
    if annotation is SecretStr:
        return "str"
    if annotation in (AwareDatetime, datetime):
        return "datetime"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"dict[str, {' | '.join(sorted({_kind(each.annotation) for each in annotation.model_fields.values()}))}]"
    if annotation is Any:
        return "Any"
    return str(annotation.__name__)


def _result(operation: Operation) -> tuple[str, str]:
    """Return the type of the result, and the function that reads it."""
    if operation.response is not None:
        return operation.response.__name__, f"model({operation.response.__name__})"
    if operation.media_type == "application/json":
        return "dict[str, Any]", "model(dict[str, Any])"
    if operation.media_type:
        return "str", "model(str)"
    return "None", "no_content"


def _map(fields: Iterable[tuple[str, str, FieldInfo]]) -> str:
    return "{" + ", ".join(f'"{sent}": {name}' for name, sent, _ in fields) + "}"


def _path(path: str) -> str:
    if "{" not in path:
        return f'"{path}"'
    parts = [method_name(part[1:-1]) if part.startswith("{") else f'"{part}"' for part in path.strip("/").split("/")]
    return f"path_of({', '.join(parts)})"


def _header_name(header: str) -> str:
    return header.lower().replace("-", "_")


def _summary(operation: Operation) -> str:
    text = operation.description.partition(". ")[0].rstrip(".") + "."
    return text if len(text) <= _LINE - 7 else text[: _LINE - 10].rpartition(" ")[0] + " ..."


def _formatted(texts: Mapping[Path, str]) -> dict[Path, str]:
    """Return the texts as ``ruff`` formats them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in texts.items():
            (folder / path.name).write_text(text, encoding="utf-8")
        for command in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
            words = [sys.executable, "-m", "ruff", *command, "--config", "pyproject.toml", name]
            subprocess.run(words, check=True, cwd=_ROOT)
        return {path: (folder / path.name).read_text(encoding="utf-8") for path in texts}


def main() -> None:
    """Write the files, and remove those of modules that are gone."""
    texts = files()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.py"):
        if path not in texts:
            path.unlink()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
