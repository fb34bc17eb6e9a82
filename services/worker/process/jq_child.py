"""The child process that applies a jq filter. It runs as a script and imports nothing of Dagway.

Keys are sorted in the input and in the output. Numbers and characters such as ``<`` are written as Dagu's jq executor
writes them.
"""

import json
import os
import resource
import sys
from contextlib import suppress
from decimal import Decimal
from typing import Any, NoReturn

__all__ = ["main"]

_EXACT = 2**53
_LONGEST_INT = 1e21
_ESCAPED = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"})
"""Escapes JSON for HTML; these characters only occur inside strings."""


def main() -> int:
    """Read the order from standard input, apply the filter and return the exit code."""
    order = json.load(sys.stdin)
    os.environ.clear()
    resource.setrlimit(resource.RLIMIT_CPU, _within(order["cpu_s"], resource.getrlimit(resource.RLIMIT_CPU)))
    # macOS refuses a limit below the hundreds of GiB that a process has mapped there.
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (order["memory"], order["memory"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import jq  # noqa: PLC0415 - only after the limits are set and the environment is empty

    out = sys.stdout
    try:
        given = _input(order["input"])
        program = jq.compile(order["filter"])
        for result in program.input_text(json.dumps(given, sort_keys=True)):
            if order["first"]:
                json.dump(_plain(result), out, sort_keys=True)
                break
            out.write(_text(result, raw=order["raw"]) + "\n")
        out.flush()
    except (ValueError, MemoryError, RecursionError) as error:
        out.flush()
        sys.stderr.write(f"{str(error) or type(error).__name__}\n")
        return 1
    return 0


def _within(limit: int, given: tuple[int, int]) -> tuple[int, int]:
    """Return the soft and the hard limit: ``limit``, or those that the process was given if they are lower."""
    soft, hard = (limit if each == resource.RLIM_INFINITY else min(limit, each) for each in given)
    return soft, hard


def _input(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise ValueError(f"script: the input is not JSON: {error}") from error


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON value")


def _text(value: Any, *, raw: bool) -> str:
    if raw and isinstance(value, str):
        return value
    if raw and value is None:
        return ""
    layout: dict[str, Any] = {"separators": (",", ":")} if raw else {"indent": 4}
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, **layout).translate(_ESCAPED)


def _plain(value: Any) -> Any:
    """Return the value with each number in its shortest form, such as 1 for 1.0."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = float(value) if abs(value) > _EXACT else value
    whole = isinstance(number, float) and number.is_integer() and abs(number) < _LONGEST_INT
    return int(Decimal(repr(number))) if whole else number


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogatepass")  # type: ignore[union-attr]
    sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
