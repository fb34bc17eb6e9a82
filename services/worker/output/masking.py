"""Replace secret values in a stream of bytes, even if a value spans two reads."""

import re
from collections.abc import Iterable

from shared.language.expansion import secret_params

__all__ = ["STARS", "Masker"]

STARS = secret_params.STARS.encode()


class Masker:
    """Masks one stream: the bytes that ``feed`` and ``close`` return contain no secret.

    Only bytes that may begin a secret are held back, so a live log is not delayed. If two secrets begin at the same
    place, the longer one is replaced. Empty secrets are ignored.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        values = sorted({secret.encode() for secret in secrets if secret}, key=lambda value: (-len(value), value))
        self._values = values
        self._longest = len(values[0]) if values else 0
        self._find = re.compile(b"|".join(map(re.escape, values))) if values else None
        self._held = b""

    def __bool__(self) -> bool:
        """Whether there are secrets to mask."""
        return self._find is not None

    @property
    def held(self) -> int:
        """How many bytes are held back because they may begin a secret."""
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """Add ``data`` and return the masked bytes that can be released."""
        if self._find is None:
            return data
        return self._release(self._held + data, final=False)

    def close(self) -> bytes:
        """End the stream and return the bytes held back."""
        return self._release(self._held, final=True) if self._held else b""

    def copy(self) -> "Masker":
        """Return a masker of the same secrets for another stream."""
        masker = Masker(())
        masker._values, masker._longest, masker._find = self._values, self._longest, self._find
        return masker

    def text(self, text: str) -> str:
        """Mask a complete text that is not part of the stream."""
        if self._find is None:
            return text
        return self._find.sub(STARS, text.encode(errors="surrogateescape")).decode(errors="replace")

    def _release(self, data: bytes, *, final: bool) -> bytes:
        assert self._find is not None  # noqa: S101 - callers check it
        hold = len(data) if final else self._undecided(data)
        parts: list[bytes] = []
        done = 0
        for match in self._find.finditer(data):
            if match.start() >= hold:
                break
            parts += (data[done : match.start()], STARS)
            done = match.end()
        end = max(hold, done)
        parts.append(data[done:end])
        self._held = data[end:]
        return b"".join(parts)

    def _undecided(self, data: bytes) -> int:
        """Return the first position from which more bytes could complete a secret, else the length of ``data``."""
        for place in range(max(len(data) - self._longest + 1, 0), len(data)):
            rest = data[place:]
            if any(len(value) > len(rest) and value.startswith(rest) for value in self._values):
                return place
        return len(data)
