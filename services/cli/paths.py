"""Looking at paths that a user gave."""

from pathlib import Path

import click

__all__ = ["WorkflowFile", "is_file", "is_folder", "read_text"]


class WorkflowFile(click.Path):
    """An existing workflow file, for ``dagway run``."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=Path)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, or fail with advice if ``value`` can only be the name of a DAG."""
        text = str(value)
        if Path(text).name == text and not Path(text).suffix and not is_file(Path(text)) and not is_folder(Path(text)):
            advice = "for standard input: /dev/stdin" if text == "-" else f"for a DAG on a server: dagway start {text}"
            self.fail(f"there is no file {text} here; {advice}", param, ctx)
        super().convert(text, param, ctx)
        return Path(text)


def read_text(file: Path) -> str:
    """Return the text of a file as a server reads it: what is not UTF-8 is replaced, as in Dagu. Raises ``OSError``."""
    return file.read_text(encoding="utf-8", errors="replace")


def is_file(path: Path) -> bool:
    """Return whether a file is there and can be seen. A pipe counts: ``/dev/stdin``, or a shell's ``<(command)``.

    ``Path.is_file`` raises if the name is too long or a folder on the way may not be entered.
    """
    try:
        return path.is_file() or path.is_fifo()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether a folder is there and can be seen."""
    try:
        return path.is_dir()
    except OSError:
        return False
