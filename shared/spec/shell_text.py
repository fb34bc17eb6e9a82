"""Put values into shell text without giving their characters a meaning there."""

import shlex

__all__ = ["QuoteState", "placed_in_shell"]

_IN_DOUBLE = str.maketrans({char: f"\\{char}" for char in '"$`\\'})


class QuoteState:
    """Which quotes are open at the end of the shell text read so far."""

    __slots__ = ("_escaped", "quote")

    def __init__(self) -> None:
        self.quote = ""
        self._escaped = False

    def read(self, text: str) -> None:
        """Go on through more of the text."""
        for char in text:
            if self._escaped:
                self._escaped = False
            elif char == "\\" and self.quote != "'":
                self._escaped = True
            elif char == self.quote:
                self.quote = ""
            elif not self.quote and char in ("'", '"'):
                self.quote = char


def placed_in_shell(value: str, state: QuoteState) -> str:
    """Return ``value`` as it must be written at a place with these quotes open."""
    if state.quote == '"':
        return value.translate(_IN_DOUBLE)
    if state.quote == "'":
        return value.replace("'", "'\\''")
    return " ".join(shlex.quote(word) for word in value.split())
