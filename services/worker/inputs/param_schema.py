"""Check a DAG's params against a JSON Schema from its spec, a file or a URL.

Patterns are those of RE2, as in Dagu, so none can stop this process.
Source: docs/workflow-language.md#what-differs-from-dagu-on-purpose.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.worker.inputs.named_files import EVERYTHING, Reach
from shared.errors import InvalidInput
from shared.foreign_json import read_json
from shared.language.expansion.params_syntax import json_scalar_text
from shared.language.model import Pairs
from shared.language.parameters import inline_schema
from shared.language.patterns import PatternError
from shared.outbound import OutboundPolicy

__all__ = ["apply_schema"]

_TIMEOUT_S = 10.0
_MAX_BYTES = 1_048_576
_REDIRECTS = 5
_MOST_REFERENCED = 20
"""How many other schemas one schema may refer to: each of them may refer to another one."""
_ABOUT_GIVEN = frozenset({"additionalProperties", "unevaluatedProperties", "propertyNames"})
"""Keywords about the names of params that are there, and not about those that are missing."""


def apply_schema(
    reference: str,
    params: Pairs,
    folders: Sequence[Path],
    reach: Reach = EVERYTHING,
    outbound: OutboundPolicy = "any",
    *,
    more_follow: bool = False,
) -> Pairs:
    """Return the params with the schema's defaults added: first the schema's properties in their order, then the rest.

    ``reference`` is a URL, a path, or the JSON text of a schema that the spec contains. A relative path means that file
    in the first of ``folders`` that has it. A URL, where it redirects to, and the URLs that ``$ref`` names must be at
    addresses that ``outbound`` allows. With ``more_follow``, others may come with a request: it is no mistake that one
    is missing. Raises ``InvalidInput`` with Dagu's texts.
    """
    schema = inline_schema(reference)
    if schema is None:
        schema = _read(reference, folders, reach, outbound)
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    given = {name: _typed(value) for name, value in params}
    for name, about in properties.items():
        if name not in given and isinstance(about, dict) and "default" in about:
            given[name] = about["default"]
    errors = _errors(schema, given, reference, outbound)
    if more_follow:
        errors = [error for error in errors if error.absolute_path or error.validator in _ABOUT_GIVEN]
    if errors:
        texts = [": ".join(filter(None, (".".join(map(str, one.absolute_path)), one.message))) for one in errors[:5]]
        raise InvalidInput(f"parameter validation failed: {'; '.join(texts)}")
    texts_given = dict(params)
    order = [*(name for name in properties if name in given), *(name for name in given if name not in properties)]
    return tuple((name, texts_given[name] if name in texts_given else json_scalar_text(given[name])) for name in order)


def _errors(schema: dict[str, Any], given: dict[str, Any], reference: str, outbound: OutboundPolicy) -> list[Any]:
    """Return how ``given`` breaks the schema, by place. Raises ``InvalidInput`` if the schema itself is unusable."""
    # Imported here, because the import takes 0.1 s and few DAGs have a schema.
    from jsonschema import SchemaError  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    from shared.language.json_schema import checked_validator, limited  # noqa: PLC0415

    referenced = _Referenced(outbound)
    try:
        validator = checked_validator(schema)
        # Without a registry the library would open any URL, also that of a file.
        registry: Registry[Any] = Registry(retrieve=referenced)  # type: ignore[call-arg]
        with limited():
            found = validator(schema, registry=registry).iter_errors(given)
            return sorted(found, key=lambda error: [str(part) for part in error.absolute_path])
    except SchemaError as error:
        raise InvalidInput(f"failed to get JSON schema: {reference}: {error.message}") from error
    except Unresolvable as error:
        raise InvalidInput(f"failed to get JSON schema: {referenced.problem or f'$ref: {error.ref}'}") from error
    except PatternError as error:
        raise InvalidInput(f"failed to get JSON schema: {reference}: a pattern is not valid: {error}") from error
    except RecursionError:
        raise InvalidInput(f"failed to get JSON schema: {reference}: its references go round in a circle") from None


class _Referenced:
    """Fetches the schemas that ``$ref`` names by URL, each once. ``problem``: why one of them could not be fetched."""

    def __init__(self, outbound: OutboundPolicy) -> None:
        self.problem = ""
        self._outbound = outbound
        self._fetched: dict[str, Any] = {}

    def __call__(self, url: str) -> Any:
        """Return the schema as a resource of the registry. What this raises, the registry makes ``Unresolvable``."""
        from referencing import Resource  # noqa: PLC0415
        from referencing.jsonschema import DRAFT202012  # noqa: PLC0415

        if url not in self._fetched:
            try:
                content = read_json(self._data(url))
            except (OSError, ValueError, InvalidInput) as error:
                self.problem = f"{url}: {error}"
                raise
            self._fetched[url] = Resource.from_contents(content, default_specification=DRAFT202012)
        return self._fetched[url]

    def _data(self, url: str) -> bytes:
        if not url.startswith(("http://", "https://")):
            raise ValueError("$ref: only a URL that begins with http:// or https:// can name another schema")
        if len(self._fetched) >= _MOST_REFERENCED:
            raise ValueError(f"$ref: a schema may refer to at most {_MOST_REFERENCED} others")
        return _fetch(url, self._outbound)


def _read(reference: str, folders: Sequence[Path], reach: Reach, outbound: OutboundPolicy) -> dict[str, Any]:
    try:
        if reference.startswith(("http://", "https://")):
            data = _fetch(reference, outbound)
        else:
            candidates = [folder / Path(reference).expanduser() for folder in folders]
            path = next((one for one in candidates if one.exists()), candidates[0])
            with open(reach.open_to_read(path), "rb") as file:  # noqa: PTH123 - a descriptor, not a path
                data = file.read(_MAX_BYTES)
        schema = read_json(data)
    except (OSError, ValueError, InvalidInput) as error:
        raise InvalidInput(f"failed to get JSON schema: {reference}: {error}") from error
    if not isinstance(schema, dict):
        raise InvalidInput(f"failed to get JSON schema: {reference}: not an object")
    return schema


def _fetch(url: str, outbound: OutboundPolicy) -> bytes:
    """Return the body of an answer. Raises ``ValueError`` if there is none."""
    # Most workers need no HTTP client for their steps, and it takes long to import.
    import urllib3  # noqa: PLC0415

    from shared.http_failures import failure_text  # noqa: PLC0415
    from shared.outbound_http import ClosingRetry, outbound_pool  # noqa: PLC0415

    retries = ClosingRetry(_REDIRECTS, connect=0, read=0, status=0, other=0)
    try:
        with outbound_pool(outbound, num_pools=1, timeout=_TIMEOUT_S) as pool:
            answer = pool.request("GET", url, retries=retries, preload_content=False)
            if answer.status != 200:
                raise ValueError(f"HTTP status {answer.status}")
            data, ends = b"", time.monotonic() + _TIMEOUT_S
            # A read ends with what has arrived: a server that sends a byte now and then does not hold the run up.
            while len(data) < _MAX_BYTES and (piece := answer.read1(_MAX_BYTES - len(data), decode_content=True)):
                data += piece
                if time.monotonic() > ends:
                    raise ValueError(f"the answer did not arrive within {_TIMEOUT_S:g} seconds")
            return data
    except urllib3.exceptions.HTTPError as error:
        raise ValueError(failure_text(error)) from error


def _typed(value: str) -> Any:
    try:
        return read_json(value)
    except ValueError:
        return value
