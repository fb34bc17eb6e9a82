r"""Read ``.env`` files: ``KEY=value`` lines with the usual quoting. Nothing is executed.

As in Dagu, a reference has a name of capital letters, digits and underscores. Any other ``$`` is a character of the
value, for instance in a password, and so is ``\$``.
"""

import codecs
import errno
import io
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from services.worker.inputs.named_files import Reach
from shared.errors import InvalidInput
from shared.language.expansion.expand import ExpansionError, Scope, expand
from shared.language.expansion.size import MOST_VALUES_CHARS, check_size, joined

__all__ = ["parse_dotenv", "read_dotenv"]

_log = logging.getLogger(__name__)
_ENTRY = re.compile(
    r"""^[^\S\n]*(?:export[^\S\n]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[^\S\n]*[=:][^\S\n]*
        (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<bare>[^\n]*))""",
    re.MULTILINE | re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"(?<!\S)#")
_REFERENCE = r"\$(?:\{[A-Z_][A-Z0-9_]*+(?:[^\w{}](?:[^{}]|\{[^{}]*\})*)?\}|[A-Z_][A-Z0-9_]*+(?![a-z]))"
_IN_BARE = re.compile(rf"\\(?P<escaped>\$)|{_REFERENCE}")
_IN_DOUBLE = re.compile(rf"\\(?P<escaped>.)|{_REFERENCE}", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_MAX_CHARS = 1_048_576
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_THE_FILE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that say nothing about a file: this process or machine has too little of something at the moment."""


def read_dotenv(
    paths: Sequence[str], folders: Sequence[Path], outer: Mapping[str, str], reach: Reach
) -> dict[str, str]:
    """Return the variables of all files that exist; later files win.

    A relative path means that file in the first of ``folders`` that has it. ``outer`` holds the variables that values
    may refer to. A file that cannot be read is logged and skipped, as in Dagu.

    Raises:
        InvalidInput: a file is too large or has a NUL byte in a value, or this process or machine lacks file
            descriptors or memory. The file may be good, so the step must not run without its variables.
    """
    found: dict[str, str] = {}
    for path in paths:
        # Texts, not paths, and each folder once: every step looks, and most DAGs have no such file.
        expanded = os.path.expanduser(path)  # noqa: PTH111
        candidates = [os.path.join(folder, expanded) for folder in dict.fromkeys(folders)]  # noqa: PTH118
        file = candidates[0]
        if len(candidates) > 1:
            file = next(filter(os.path.exists, candidates), file)
        try:
            descriptor = reach.open_to_read(file)
            with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
                # PowerShell redirects output as UTF-16.
                encoding = "utf-16" if stream.peek(2)[:2] in _UTF_16 else "utf-8-sig"
                with io.TextIOWrapper(stream, encoding) as written:
                    text = written.read(_MAX_CHARS + 1)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            # Linux looks for a descriptor, and ``reach`` at the path, before anybody looks for the file.
            if _is_missing(file):
                continue
            if isinstance(error, OSError) and error.errno in _NOT_THE_FILE:
                raise InvalidInput(f"cannot read {file} now: {error.strerror}") from error
            _log.warning("dotenv.unreadable", extra={"path": file, "error": str(error)})
            continue
        if len(text) > _MAX_CHARS:
            raise InvalidInput(f"{file} is too large: a dotenv file may have {_MAX_CHARS} characters")
        try:
            values = parse_dotenv(text, {**outer, **found})
        except ExpansionError as error:
            _log.warning("dotenv.unreadable", extra={"path": file, "error": str(error)})
            continue
        if name := next((name for name, value in values.items() if "\0" in value), ""):
            raise InvalidInput(f"{file}: the value of {name} has a NUL byte, which no variable can have")
        found.update(values)
    return found


def _is_missing(file: str) -> bool:
    """Return whether there certainly is no such file: none is seen in a folder that this process may not enter."""
    try:
        os.stat(file)  # noqa: PTH116
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


def parse_dotenv(text: str, outer: Mapping[str, str]) -> dict[str, str]:
    """Return the variables. Unquoted and double-quoted values may refer to earlier variables and to ``outer``.

    Raises ``ExpansionError`` if all values together are longer than those of a process can be.
    """
    found: dict[str, str] = {}
    chars = 0
    scope = Scope((found, outer))
    for match in _ENTRY.finditer(text):
        if match["single"] is not None:
            value = match["single"]
        elif match["double"] is not None:
            value = _expanded(match["double"], _IN_DOUBLE, scope)
        else:
            # With the character before it: a comment begins after a blank, and `#fff` is a value.
            bare = text[match.start("bare") - 1 : match.end()]
            value = _expanded(_COMMENT.split(bare, maxsplit=1)[0][1:].strip(), _IN_BARE, scope)
        found[match["name"]] = value
        chars += len(value)
        check_size(chars, MOST_VALUES_CHARS)
    return found


def _expanded(text: str, pattern: re.Pattern[str], scope: Scope) -> str:
    """Return ``text`` with the values of what ``pattern`` finds. Raises ``ExpansionError`` if it is too long."""
    return joined(_pieces(text, pattern, scope), MOST_VALUES_CHARS)


def _pieces(text: str, pattern: re.Pattern[str], scope: Scope) -> Iterator[str]:
    end = 0
    for match in pattern.finditer(text):
        yield text[end : match.start()]
        end = match.end()
        if (escaped := match["escaped"]) is not None:
            yield _ESCAPES.get(escaped, escaped)
            continue
        try:
            yield expand(match[0], scope)
        except ExpansionError:
            yield match[0]
    yield text[end:]
