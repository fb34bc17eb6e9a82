"""Read ``continueOn``, ``retryPolicy`` and ``repeatPolicy``."""

import re
from typing import Any

from shared.language.model import Condition, ContinueOn, RepeatMode, RepeatPolicy, RetryPolicy
from shared.language.patterns import line_pattern_problem
from shared.language.yaml.fields import Fields, Vocabulary
from shared.language.yaml.reader import NumericText

__all__ = ["read_continue_on", "read_repeat_policy", "read_retry_policy"]

_CODE = re.compile(r"-?\d{1,11}")
_CONTINUE_ON = Vocabulary("failure", "failed", "skipped", "exitCode", "output", "markSuccess")
_RETRY = Vocabulary("limit", "intervalSec", "exitCode", "backoff", "maxIntervalSec")
_REPEAT = Vocabulary("repeat", "condition", "expected", "exitCode", "intervalSec", "backoff", "maxIntervalSec", "limit")


def read_continue_on(fields: Fields) -> ContinueOn:
    """Read ``continueOn``: the text ``failed`` or ``skipped``, or a map."""
    value = fields.get("continueOn")
    if value is None:
        return ContinueOn()
    if isinstance(value, str):
        word = value.strip().lower()
        if word not in ("failed", "skipped"):
            fields.error("continueOn", f"continueOn: expected 'skipped' or 'failed', got '{value}'")
        return ContinueOn(failure=word == "failed", skipped=word == "skipped")
    inner = fields.mapping("continueOn", _CONTINUE_ON, error="continueOn must be a string or a map")
    if inner is None:
        return ContinueOn()
    output = inner.texts("output", error="continueOn.Output must be a string or an array of strings")
    for problem in filter(None, map(line_pattern_problem, output)):
        inner.warn("output", problem)
    flags = {name: _flag(inner, name) for name in ("failure", "failed", "skipped", "markSuccess")}
    return ContinueOn(
        failure=flags["failure"] or flags["failed"],
        skipped=flags["skipped"],
        exit_code=_exit_codes(inner, "continueOn.ExitCode must be an int or an array of ints"),
        output=output,
        mark_success=flags["markSuccess"],
    )


def _flag(fields: Fields, name: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    fields.error(name, f"continueOn.{name}: expected boolean")
    return False


def _exit_codes(fields: Fields, error: str) -> tuple[int, ...]:
    value = fields.get("exitCode")
    if value is None:
        return ()
    codes: list[int] = []
    for item in value if isinstance(value, list) else [value]:
        code = _code(item)
        if code is None:
            fields.error("exitCode", error)
            return ()
        codes.append(code)
    return tuple(codes)


def _code(value: Any) -> int | None:
    if isinstance(value, NumericText):
        value = value.number
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float) and value == value // 1 and abs(value) < 2**31:
        return int(value)
    if isinstance(value, str) and _CODE.fullmatch(text := value.strip()):
        return int(text)
    return None


def read_retry_policy(fields: Fields) -> RetryPolicy | None:
    """Read ``retryPolicy``. ``limit`` and ``intervalSec`` are required."""
    inner = fields.mapping("retryPolicy", _RETRY)
    if inner is None:
        return None
    for name in ("limit", "intervalSec"):
        if inner.get(name) is None:
            message = f"{name} is required when retryPolicy is specified"
            inner.issues.error(message, inner.path, fields.place("retryPolicy"), hint=f"for instance {name}: 3")
    limit = _number_or_text(inner, "limit")
    return RetryPolicy(
        limit=limit if isinstance(limit, str) else int(limit),
        interval_sec=_number_or_text(inner, "intervalSec"),
        exit_code=_exit_codes(inner, "retryPolicy.exitCode must be an array of ints"),
        backoff=_backoff(inner),
        max_interval_sec=_span(inner, "maxIntervalSec"),
    )


def _number_or_text(fields: Fields, name: str) -> float | str:
    """Read a number, or a text with a variable, which a worker expands to a number."""
    value = fields.get(name)
    if not isinstance(value, str) or isinstance(value, NumericText):
        return _span(fields, name)
    text = value.strip()
    if not text:
        return 0
    if text.isdecimal() and len(text) <= 9:
        return int(text)
    if "$" not in text and "`" not in text:
        fields.wrong_type(name, "a number", value)
        return 0
    return text


def _span(fields: Fields, name: str) -> float:
    """Read a count or a duration in seconds. A negative number means 0, as in Dagu."""
    return max(fields.seconds(name), 0)


def _backoff(fields: Fields) -> float:
    value = fields.get("backoff")
    if value is None or value is False:
        return 0
    if value is True:
        return 2.0
    if isinstance(value, int | float) and value <= 0:
        return 0
    if not isinstance(value, int | float):
        fields.wrong_type("backoff", "a boolean or a number", value)
        return 0
    if not 1.0 < value <= 1e6:
        message = f"backoff must be greater than 1.0 for exponential growth, and at most 1e6 (value: {value})"
        fields.error("backoff", message)
        return 0
    return float(value)


def read_repeat_policy(fields: Fields) -> RepeatPolicy | None:
    """Read ``repeatPolicy``. Return ``None`` if it is absent, or has neither ``repeat``, a condition nor exit codes."""
    inner = fields.mapping("repeatPolicy", _REPEAT)
    if inner is None:
        return None
    condition = inner.text("condition", strip=False)
    expected = inner.text("expected", strip=False)
    if problem := line_pattern_problem(expected):
        inner.warn("expected", problem)
    codes = _exit_codes(inner, "repeatPolicy.exitCode must be an array of ints")
    mode = _repeat_mode(inner, condition, expected, codes)
    limit = max(inner.integer("limit"), 0)
    interval, longest = (_span(inner, name) for name in ("intervalSec", "maxIntervalSec"))
    backoff = _backoff(inner)
    if mode is None:
        return None
    return RepeatPolicy(
        repeat=mode,
        condition=Condition(condition=condition, expected=expected) if condition else None,
        exit_code=codes,
        interval_sec=interval,
        limit=limit,
        backoff=backoff,
        max_interval_sec=longest,
    )


def _repeat_mode(fields: Fields, condition: str, expected: str, codes: tuple[int, ...]) -> RepeatMode | None:
    value = fields.get("repeat")
    if value is True:
        return RepeatMode.WHILE
    # As in Dagu, ``repeat: false`` means the same as no ``repeat``: with a condition the step still repeats.
    if value is not None and value is not False:
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in ("while", "until"):
            shown = value if isinstance(value, str) else "a number, list or map"
            fields.error("repeat", f"invalid value for repeat: {shown} (must be true, false, while or until)")
            return None
        if not condition and not codes:
            message = f"repeat mode '{word}' requires either 'condition' or 'exitCode' to be specified"
            fields.error("repeat", message, hint='for instance condition: "test -f done"')
        return RepeatMode(word)
    if condition and expected:
        return RepeatMode.UNTIL
    return RepeatMode.WHILE if condition or codes else None
