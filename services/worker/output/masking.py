"""Replace secret values in a stream of bytes, even if a value spans two reads.

A secret has dozens of forms (see ``secret_forms``), and one of 512 KiB has 200,000. So a search looks for the first
bytes of all forms at once, and compares the forms themselves only where it finds some. The time grows with the length
of the stream and with that of the secrets, not with their product.
"""

import heapq
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
_FEW = 1000
"""Up to this many heads are looked for with RE2, in 10 ns per byte. With more, each byte of a text that is new to RE2
takes time for every head. Then each place is looked up in a set: 100 ns, with any number of heads."""
_LONG = 4096
"""How many bytes of a text may be compared at every place."""
_LONG_COMPARISONS = 64
"""At how many places of one search more bytes than that may be compared."""
_MEMORY_BYTES = 256 << 20
"""The most that RE2 may use."""


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
        few = len(by_head) <= _FEW
        by_re2 = [head for head in by_head if few or len(head) < _HEAD]
        self._find: Any = _pattern(by_re2) if by_re2 else None
        self._looked_up = frozenset() if few else frozenset(head for head in by_head if len(head) == _HEAD)

    def mask(self, data: bytes, *, final: bool) -> tuple[bytes, bytes]:
        """Return ``data`` masked, and the end of it that may begin a text; empty if ``final``: no more bytes come then.

        Where several texts begin, the longest is replaced.
        """
        parts: list[bytes] = []
        search = _Search(data)
        for start in self._starts(search):
            if start < search.done:
                continue
            if not final and self._may_go_on(search, start):
                parts.append(data[search.done : start])
                return b"".join(parts), data[start:]
            length = next((len(text) for text in self._candidates(data, start) if search.has(text, start)), 0)
            if length:
                parts += (data[search.done : start], STARS)
                search.done = start + length
        parts.append(data[search.done :])
        return b"".join(parts), b""

    def _starts(self, search: "_Search") -> Iterator[int]:
        """Yield every position where a head begins, or where the data end within one; in order, some twice."""
        data, found = search.data, list[Iterator[int]]()
        if self._find is not None:
            found.append(self._by_pattern(search))
        if self._looked_up:
            heads = self._looked_up
            found.append(at for at in range(len(data) - _HEAD + 1) if data[at : at + _HEAD] in heads)
        tail = range(max(len(data) - _HEAD + 1, 0), len(data))
        found.append(at for at in tail if data[at:] in self._beginnings)
        return heapq.merge(*found)

    def _by_pattern(self, search: "_Search") -> Iterator[int]:
        at = 0
        while found := self._find.search(search.data, at):
            yield found.start()
            at = max(found.start() + 1, search.done)

    def _may_go_on(self, search: "_Search", start: int) -> bool:
        """Whether more bytes could complete a text that begins at ``start``."""
        data = search.data
        if len(data) - start >= self._longest:
            return False
        if len(data) - start < _HEAD and data[start:] in self._beginnings:
            return True
        return any(search.ends_within(text, start) for text in self._by_head.get(data[start : start + _HEAD], ()))

    def _candidates(self, data: bytes, start: int) -> Iterator[bytes]:
        """Yield the texts whose first bytes are at ``start``, the longest first."""
        for length in self._lengths:
            yield from self._by_head.get(data[start : start + length], ())


class _Search:
    """Compares texts with data at many places, which must not take the length of a text at each of them.

    In a secret such as ``aaaa...`` every place looks like the beginning.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.done = 0
        """Where the data begin that are not masked yet."""
        self._next: dict[bytes, int] = {}
        self._long_comparisons = 0

    def has(self, text: bytes, start: int) -> bool:
        """Whether ``text`` is at ``start``. Each call is for a later place than the one before."""
        if len(text) <= _LONG:
            return self.data.startswith(text, start)
        # `find` takes linear time for any text.
        at = self._next.get(text, 0)
        if 0 <= at < start or text not in self._next:
            at = self._next[text] = self.data.find(text, start)
        return at == start

    def ends_within(self, text: bytes, start: int) -> bool:
        """Whether the data from ``start`` on are the beginning of ``text`` and not all of it.

        May be wrongly true, after many places where it nearly was: then output comes later than it could.
        """
        data, size = self.data, len(self.data) - start
        if len(text) <= size or not text.startswith(data[start : start + _LONG]):
            return False
        if size <= _LONG:
            return True
        if not text.startswith(data[-_LONG:], size - _LONG):
            return False
        self._long_comparisons += 1
        return self._long_comparisons > _LONG_COMPARISONS or text.startswith(data[start:])


def _pattern(heads: Iterable[bytes]) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    return re2.compile(b"|".join(b"".join(b"\\x%02x" % byte for byte in head) for head in heads), options)


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
        masked, self._held = self._forms.mask(self._held + data, final=False)
        return masked

    def close(self) -> bytes:
        """End the stream and return the bytes held back."""
        if self._forms is None:
            return b""
        masked, self._held = self._forms.mask(self._held, final=True)
        return masked

    def copy(self) -> "Masker":
        """Return a masker of the same secrets for another stream."""
        if self._forms is None:
            return self  # it holds nothing back
        masker = Masker(())
        masker._forms = self._forms
        return masker

    def text(self, text: str) -> str:
        """Mask a complete text that is not part of the stream."""
        if self._forms is None:
            return text
        masker = self.copy()
        return (masker.feed(text.encode(errors="surrogateescape")) + masker.close()).decode(errors="replace")
