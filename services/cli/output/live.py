"""Lines on a terminal that are drawn again while they change."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from services.cli.interrupts import interruptible
from services.cli.output.harmless import harmless

__all__ = ["LiveLines"]

_PER_SECOND = 8


class LiveLines:
    """Draws the lines that ``make`` returns, several times a second, until the block ends; the last ones stay.

    ``make`` is called in another thread. The lines may have colours. Within the block SIGTERM does what Ctrl-C does:
    meanwhile the cursor is hidden, and a process that ends at once would leave it so.
    """

    def __init__(self, make: Callable[[], Iterable[str]]) -> None:
        self._make = make
        self._live = Live(
            console=Console(highlight=False, soft_wrap=False),
            get_renderable=self._text,
            refresh_per_second=_PER_SECOND,
            vertical_overflow="ellipsis",
        )
        self._block = ExitStack()

    def _text(self) -> Text:
        return Text("\n", no_wrap=True, overflow="ellipsis").join(
            Text.from_ansi(harmless(line)) for line in self._make()
        )

    def print(self, line: str) -> None:
        """Print a line above those that change."""
        self._live.console.print(Text.from_ansi(harmless(line)), soft_wrap=True)

    def __enter__(self) -> Self:
        self._block.enter_context(interruptible())
        self._block.enter_context(self._live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block.__exit__(kind, error, trace)
