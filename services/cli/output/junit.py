"""Test results as JUnit XML, which CI systems read."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["CaseResult", "junit_xml"]

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one case. ``failures`` is empty if all was as expected."""

    file: str
    case: str
    seconds: float
    failures: tuple[str, ...] = ()


def junit_xml(results: Sequence[CaseResult]) -> str:
    """Return the results as a JUnit document: a suite for each file."""
    files = list(dict.fromkeys(result.file for result in results))
    return "".join(
        ['<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n']
        + [line for file in files for line in _suite(file, [each for each in results if each.file == file])]
        + ["</testsuites>\n"]
    )


def _suite(file: str, results: Sequence[CaseResult]) -> Iterator[str]:
    failed = sum(bool(each.failures) for each in results)
    seconds = sum(each.seconds for each in results)
    yield f'<testsuite name="{_text(file)}" tests="{len(results)}" failures="{failed}" time="{seconds:.3f}">\n'
    for each in results:
        yield f'<testcase classname="{_text(file)}" name="{_text(each.case)}" time="{each.seconds:.3f}">'
        if each.failures:
            yield f'<failure message="{_text(each.failures[0])}">{_text(chr(10).join(each.failures))}</failure>'
        yield "</testcase>\n"
    yield "</testsuite>\n"


def _text(text: str) -> str:
    return escape(_NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text))
