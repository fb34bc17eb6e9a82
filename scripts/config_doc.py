"""Write docs/configuration.md from the table of settings: ``python scripts/config_doc.py``."""

from pathlib import Path

from shared.option import Option
from shared.options import OPTIONS

__all__ = ["document"]

TARGET = Path(__file__).parents[1] / "docs" / "configuration.md"

_HEAD = """# Settings

<!-- Written by scripts/config_doc.py from shared/options.py. -->

Every setting is a command-line option and an environment variable; the option wins. Each command takes the settings
that it needs (`dagway worker --help`). An unknown `DAGWAY_…` variable is an error that suggests the right one;
variables that Kubernetes sets for a Service named `dagway…` are ignored. Defaults are in brackets. A variable that
ends with `_FILE` names a file that contains the value.

| variable | option | meaning |
| --- | --- | --- |
"""


def document() -> str:
    """Return the text of the page."""
    shown = [option for option in OPTIONS if option.field != "faults"]
    rows = [f"| `{option.env}`{_file(option)} | `{option.flag}` | {option.help} |\n" for option in shown]
    return _HEAD + "".join(rows)


def _file(option: Option) -> str:
    return f", `{option.file_env}`" if option.secret else ""


if __name__ == "__main__":
    TARGET.write_text(document())
