"""The text forms of parameters: parse what specs and users write, and format what the API shows.

Nothing is evaluated here: a back-quoted command stays text. The name of a positional parameter is its 1-based position
in the text or list that contains it. Single quotes have no special meaning.
"""

import itertools
import json
import re
from typing import Any

from shared.language.model import Dag, Pairs, Param
from shared.language.yaml.fields import scalar_text

__all__ = [
    "default_params_text",
    "go_quote",
    "is_reference",
    "json_scalar_text",
    "make_param",
    "params_json",
    "params_pairs",
    "params_text",
    "parse_json",
    "parse_params_text",
    "quote_pairs",
]

# A name contains neither quotes nor back quotes, and there is one way to match what is between back quotes. So the
# search is linear on hostile text.
_TOKEN = re.compile(r'(?:([^\s="`]+)=)?("(?:\\"|[^"])*"|`[^`]*`|[^"\s]+)', re.ASCII)
_REFERENCE = re.compile(r"\$(?:\{[^{}\s]+\}|[A-Za-z0-9_]+(?:\.\S+)?)\Z")
_MOST_LEVELS = 200
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_GO_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_GO_ESCAPES |= {'"': '\\"', "\\": "\\\\"}


def parse_params_text(text: str) -> tuple[list[Param], bool]:
    """Return the parameters in ``text``, and whether ``text`` is JSON.

    A JSON object contains named parameters. A JSON array contains positional parameters, and named ones in objects.
    Any other text, also invalid JSON, is read in the shell-like form ``KEY=value K2="quoted" positional``.
    """
    trimmed = text.strip()
    if trimmed[:1] in ("{", "["):
        value = parse_json(trimmed)
        if isinstance(value, dict):
            return _from_json_object(value), True
        if isinstance(value, list):
            return _from_json_list(value), True
    found: list[Param] = []
    for match in _TOKEN.finditer(trimmed):
        name, value = match[1], match[2]
        if value.startswith('"'):
            value = value[1:-1].replace('\\"', '"')
        found.append(make_param(name, value, len(found)))
    return found, False


def params_pairs(text: str) -> Pairs:
    """Return the names and values of the parameters in ``text``, read as ``parse_params_text`` does."""
    return tuple((param.name, param.value) for param in parse_params_text(text)[0])


def make_param(name: str | None, value: str, index: int) -> Param:
    """Return a parameter. Without a name it is positional, and its name is its position: ``index`` + 1."""
    return Param(name=name, value=value) if name else Param(name=str(index + 1), value=value, positional=True)


def parse_json(text: str) -> Any:
    """Return the parsed JSON, or ``None`` if ``text`` is not JSON. Numbers are texts, spelled as in ``text``.

    JSON nested deeper than 200 levels is not taken for JSON either: to write it again could need too deep a recursion.
    """
    try:
        # Numbers keep their spelling: 1000000 must not come back as 1e+06.
        value = json.loads(text, parse_int=_Literal, parse_float=_Literal, parse_constant=_Literal)
    except (ValueError, RecursionError):
        return None
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_MOST_LEVELS + 1):
        if not level:
            return value
        inner = itertools.chain.from_iterable(each.values() if isinstance(each, dict) else each for each in level)
        level = [each for each in inner if isinstance(each, dict | list)]
    return None


class _Literal(str):
    """A number in a JSON text, spelled as in that text."""

    __slots__ = ()


def _from_json_object(value: dict[str, Any]) -> list[Param]:
    return [Param(name=json_scalar_text(key), value=json_scalar_text(item)) for key, item in value.items()]


def _from_json_list(value: list[Any]) -> list[Param]:
    found: list[Param] = []
    for item in value:
        if isinstance(item, dict):
            found.extend(_from_json_object(item))
        else:
            found.append(make_param(None, json_scalar_text(item), len(found)))
    return found


def json_scalar_text(value: Any) -> str:
    """Return a JSON value as text: a string without quotes, null as an empty text, other values as compact JSON.

    JSON can escape what neither the database nor a process can be given: NUL is left out, half a pair becomes U+FFFD.
    """
    is_scalar = value is None or isinstance(value, str | bool | int | float)
    text = scalar_text(value) if is_scalar else _compact(value)
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else _HALF_PAIR.sub("\ufffd", text)


def _compact(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(k), ensure_ascii=False)}:{_compact(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_compact(item) for item in value) + "]"
    return str(value) if isinstance(value, _Literal) else json.dumps(value, ensure_ascii=False)


def is_reference(text: str) -> bool:
    """Return whether ``text`` is a reference to a single variable and nothing else."""
    return _REFERENCE.match(text) is not None


def quote_pairs(pairs: tuple[tuple[str, str], ...], positional: frozenset[str] = frozenset()) -> str:
    """Return ``K="V"`` texts joined by spaces. A pair whose name is in ``positional`` is written without its name."""
    parts = []
    for name, value in pairs:
        quoted = '"' + value.replace('"', '\\"') + '"'
        parts.append(quoted if name in positional else f"{name}={quoted}")
    return " ".join(parts)


def params_json(pairs: Pairs) -> str | None:
    """Return the value of ``DAGU_PARAMS_JSON``: a JSON object sorted by name, or ``None`` if there are no pairs."""
    if not pairs:
        return None
    return json.dumps(dict(pairs), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def params_text(pairs: Pairs) -> str:
    """Return parameters as they are displayed: ``K=V`` joined by spaces, without quotes."""
    return " ".join(f"{name}={value}" for name, value in pairs)


def default_params_text(dag: Dag) -> str:
    """Return a dag's unexpanded defaults in the form that start dialogs read: ``K="v"`` joined by spaces."""
    return " ".join(f"{param.name}={go_quote(param.value)}" for param in dag.params)


def go_quote(text: str) -> str:
    """Return ``text`` quoted as by Go's ``%q``: quotes, backslashes and unprintable characters are escaped."""
    return '"' + "".join(_GO_ESCAPES.get(char) or _go_char(char) for char in text) + '"'


def _go_char(char: str) -> str:
    code = ord(char)
    if char.isprintable():
        return char
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
