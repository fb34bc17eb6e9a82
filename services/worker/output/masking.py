"""Replace secret values in a stream of bytes, even if a value spans two reads.

Each secret has dozens of forms (see ``secret_forms``), so RE2 looks for the first bytes of all forms at once, in time
that does not depend on their number, and only where it finds some the forms themselves are compared.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import re2

from services.worker.output.secret_forms import forms_of
from shared.language.expansion import secret_params

__all__ = ["STARS", "Masker"]

STARS = secret_params.STARS.encode()
_HEAD = 8
"""How many first bytes of a form are looked for: enough that few other texts begin so."""

_MEMORY_BYTES = 256 << 20
"""The most that RE2 may use, with very many forms. With its default of 8 MiB, 10,000 forms made it 100 times slower."""


class _Forms:
    """All texts to mask, by their first bytes."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        by_head: dict[bytes, list[bytes]] = defaultdict(list)
        for text in sorted(texts, key=len, reverse=True):
            by_head[text[:_HEAD]].append(text)
        self._by_head = dict(by_head)
        self._lengths = sorted({len(head) for head in by_head}, reverse=True)
        self._beginnings = frozenset(head[:length] for head in by_head for length in range(1, len(head)))
        self._longest = max(len(texts[0]) for texts in by_head.values())
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.never_capture = True
        options.log_errors = False
        options.max_mem = _MEMORY_BYTES
        self._find: Any = re2.compile(b"|".join(map(_literal, self._by_head)), options)

    def matches(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield the start and end of each text in ``data``, the longest where several begin."""
        at = 0
        while (start := self._next(data, at)) >= 0:
            length = next((len(text) for text in self._candidates(data, start) if data.startswith(text, start)), 0)
            if length:
                yield start, start + length
            at = start + (length or 1)

    def undecided(self, data: bytes) -> int:
        """Return the first position from which more bytes could complete a text, else the length of ``data``."""
        at = first = max(len(data) - self._longest + 1, 0)
        while (start := self._next(data, at)) >= 0:
            rest = data[start:]
            if any(len(text) > len(rest) and text.startswith(rest) for text in self._candidates(data, start)):
                return start
            at = start + 1
        tail = range(max(len(data) - _HEAD + 1, first), len(data))
        return next((start for start in tail if data[start:] in self._beginnings), len(data))

    def _next(self, data: bytes, at: int) -> int:
        found = self._find.search(data, at)
        return found.start() if found else -1

    def _candidates(self, data: bytes, start: int) -> Iterator[bytes]:
        """Yield the texts whose first bytes are at ``start``, the longest first."""
        for length in self._lengths:
            yield from self._by_head.get(data[start : start + length], ())


def _literal(text: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in text)


class Masker:
    """Masks one stream: the bytes that ``feed`` and ``close`` return contain no secret in any of its forms.

    Only bytes that may begin a secret are held back, so a live log is not delayed. If two secrets begin at the same
    place, the longer one is replaced. Empty secrets are ignored.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        texts = frozenset[bytes]().union(*map(forms_of, secrets))
        self._forms = _Forms(texts) if texts else None
        self._held = b""

    def __bool__(self) -> bool:
        """Whether there are secrets to mask."""
        return self._forms is not None

    @property
    def held(self) -> int:
        """How many bytes are held back because they may begin a secret."""
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """Add ``data`` and return the masked bytes that can be released."""
        if self._forms is None:
            return data
        data = self._held + data
        return self._release(self._forms, data, self._forms.undecided(data))

    def close(self) -> bytes:
        """End the stream and return the bytes held back."""
        return self._release(self._forms, self._held, len(self._held)) if self._forms is not None else b""

    def copy(self) -> "Masker":
        """Return a masker of the same secrets for another stream."""
        masker = Masker(())
        masker._forms = self._forms
        return masker

    def text(self, text: str) -> str:
        """Mask a complete text that is not part of the stream."""
        if self._forms is None:
            return text
        masker = self.copy()
        return (masker.feed(text.encode(errors="surrogateescape")) + masker.close()).decode(errors="replace")

    def _release(self, forms: _Forms, data: bytes, hold: int) -> bytes:
        """Return ``data`` masked, and hold back what begins at ``hold`` and is not part of a match before it."""
        parts: list[bytes] = []
        done = 0
        for start, end in forms.matches(data):
            if start >= hold:
                break
            parts += (data[done:start], STARS)
            done = end
        end = max(hold, done)
        parts.append(data[done:end])
        self._held = data[end:]
        return b"".join(parts)
