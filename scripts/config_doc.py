"""Write docs/configuration.md from the table of settings: ``python scripts/config_doc.py``."""

from pathlib import Path

from shared.settings.options import OPTIONS

__all__ = ["document"]

TARGET = Path(__file__).parents[1] / "docs" / "configuration.md"

_HEAD = """# Settings

<!-- Written by scripts/config_doc.py from shared/settings/options.py. -->

Every setting is a command-line option and an environment variable; the option wins. Each command takes the settings
that it needs (`dagway worker --help`). An unknown `DAGWAY_…` variable is an error that suggests the right one;
variables that Kubernetes sets for a Service named `dagway…` are ignored. Defaults are in brackets.

Dagu's variables with a meaning here (`DAGU_HOST`, `DAGU_PORT`, `DAGU_DAGS_DIR`, `DAGU_TZ`, `DAGU_AUTH_…`, for instance)
are read where ours are not set. With `DAGU_HOME` its `config.yaml` is read too, and its folders `dags` and `suspend`
and its `base.yaml` are used. Names of earlier versions that Dagu 1.30 still reads, such as `DAGU_DAGS` and
`basicAuthUsername`, are read too. At the start the log says what each became; what has no meaning is named.

A time is a number of seconds, or has units: `90`, `90s`, `15m`, `24h`, `1h30m`.

A secret (marked *) can also be in a file: set the variable with `_FILE` at its end, such as `DAGWAY_AMQP_URL_FILE`, to
the file's path.

`dagway settings` and the page *Settings* show an administrator what a gateway is set to, and where each value
comes from.

| variable | option | meaning |
| --- | --- | --- |
"""


def document() -> str:
    """Return the text of the page."""
    shown = [option for option in OPTIONS if option.field != "faults"]
    rows = [f"| `{option.env}`{'*' * option.secret} | `{option.flag}` | {option.help} |\n" for option in shown]
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    TARGET.write_text(document())
