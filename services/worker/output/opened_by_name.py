"""Find out whether a step opens ``/dev/stdout`` or ``/dev/stderr`` by name, as ``echo text > /dev/stderr`` does.

If these are regular files, opening them by name truncates them. So such a step gets pipes instead. What counts is the
text of the step, and that of the scripts that it names: scripts that those call are not read.
"""

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache

from services.worker.inputs.named_files import Reach
from shared.language.model import Step

__all__ = ["scripts_open_by_name", "texts_of", "texts_open_by_name"]

_BY_NAME = re.compile(r"/dev/std(?:out|err)|/dev/fd/[12]|/proc/self/fd")
_BETWEEN_COMMANDS = re.compile(r"[\n;|&()`]+")
_BETWEEN_WORDS = re.compile(r"[\s<>\"'=]+")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_MOST_CHARACTERS = 4096
_MOST_BYTES = 256 * 1024
_BEGINNING = 1024
"""Bytes of a file that has no NUL in them if it is a script."""


def texts_of(step: Step) -> list[str]:
    """Return the commands and the script of a step."""
    return [step.script, *(command.text for command in step.commands)]


def texts_open_by_name(texts: Iterable[str]) -> bool:
    """Whether one of a step's texts opens its output by name."""
    return any(map(_BY_NAME.search, texts))


def scripts_open_by_name(texts: Iterable[str], cwd: str, variables: Mapping[str, str], reach: Reach) -> bool:
    """Whether a script that ``texts`` name opens its output by name: a file, or a program in the ``PATH``."""
    search = variables.get("PATH", "")
    for word, runs in _words(texts, variables).items():
        if runs and os.sep not in word:
            if _program_opens_by_name(word, search, reach):
                return True
        # Every step looks: a word that is hardly a file costs nothing.
        elif (os.sep in word or "." in word) and _BY_NAME.search(_script(os.path.join(cwd, word), reach)):  # noqa: PTH118
            return True
    return False


@lru_cache(1024)
def _program_opens_by_name(program: str, search: str, reach: Reach) -> bool:
    path = shutil.which(program, path=search)
    return path is not None and _BY_NAME.search(_script(path, reach)) is not None


def _words(texts: Iterable[str], variables: Mapping[str, str]) -> dict[str, bool]:
    """Return the first words in ``texts``, and whether each begins a command."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1] or match[2], "")

    found: dict[str, bool] = {}
    for text in texts:
        for command in _BETWEEN_COMMANDS.split(text[:_MOST_CHARACTERS]):
            words = filter(None, _BETWEEN_WORDS.split(_VARIABLE.sub(value, command)))
            for number, word in enumerate(words):
                found[word] = found.get(word, False) or number == 0
    return found


def _script(path: str, reach: Reach) -> str:
    with suppress(OSError), open(reach.open_to_read(path), "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        beginning = file.read(_BEGINNING)
        if b"\0" not in beginning:
            return (beginning + file.read(_MOST_BYTES)).decode("latin-1")
    return ""
