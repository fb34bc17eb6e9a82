"""Write docs/cli.md from the commands: ``python -m scripts.cli_doc``."""

from collections.abc import Iterator
from pathlib import Path

import click

from services.cli import cli
from services.cli.catalog import COMMANDS, SECTIONS
from services.cli.exit_codes import EXIT_CODES
from shared.settings.config import OPTIONS

__all__ = ["document"]

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"

_HEAD = """# The command line

<!-- Written by scripts/cli_doc.py from services/cli. -->

`dagway COMMAND --help` prints a page about each command. `dagway completion bash --install` (or `zsh`, `fish`)
makes the shell complete commands and options.

## Which server

Commands that use a server find it by, in this order: `--url`; `--profile`; the variable `DAGWAY_URL`; the variable
`DAGWAY_PROFILE`; the profile that `dagway config use` has chosen; http://127.0.0.1:8080. `dagway config show` says
which one it is, and `dagway doctor` whether it works.

A **profile** has the URL and the credentials of one server. Profiles are in `~/.config/dagway/config.yaml`, which
only its owner can read. The credentials of a profile are sent to the URL of that profile only. Other credentials are
`--token` (an API key or a token), and `DAGWAY_AUTH_TOKEN`, `DAGWAY_AUTH_BASIC_USERNAME` and
`DAGWAY_AUTH_BASIC_PASSWORD`. `--workspace` chooses [the workspace](operations/workspaces.md#use-one).

```sh
dagway config set production --url https://dagway.example.org --token-file key.txt
dagway ls --profile production
```

## Output

Tables are for people and never truncated. `--json` prints what the API returns; commands that follow something print
one JSON object per line. Colours appear on a terminal only, and not if the variable `NO_COLOR` is set or `TERM` is
`dumb`. Results go to standard output, remarks and progress to standard error. A line that a step wrote over several
times, such as a bar of progress, is shown on a terminal as it was last; a file or another program gets all of it.

A request is repeated for some seconds if the gateway does not answer. Writes have an idempotency key, so a
repetition has no second effect. If the server has stored a write but no scheduler has carried it out yet, the
command waits. If that takes too long, it exits with 1, and says that the write may still happen. If all repetitions
fail and an earlier one may have been stored, the command says so: look before you repeat it. `logs -f`, `watch`,
`events` and `start` continue after a lost connection, without a gap; they give up after ten minutes without a gateway.

## Exit codes

| code | meaning |
| --- | --- |
"""

_DAGU = """
## Coming from Dagu

`start`, `enqueue`, `dequeue`, `exec`, `dry`, `stop`, `retry`, `restart`, `status`, `cleanup`, `validate`, `start-all`
and `version` have the names and options of Dagu 1.30, so most scripts and crontabs need only the program's name
changed. Differences:

- The commands use a server: start one with `dagway up --dags FOLDER`.
- `exec` runs its command on a worker, in a new folder of the run, and not in the current directory: give `--workdir`.
  If there are several arguments, they arrive as they are; Dagu evaluates `$HOME` and `;` in them.
- `start FILE` and `enqueue FILE` send the text of the file. Its steps run in a new folder too, and not in that of the
  file, unless it says `workingDir`. The DAGs of the DAG folder run in their folders, as in Dagu.
- `dry` and `validate` look for a name that is no file in the folder that `DAGWAY_DAGS_DIR` or Dagu's settings name, and
  then on the server that `DAGWAY_URL` or the profile in use names. They read the schema of `params` from a file, not
  from a URL, and `validate` accepts that a param without a default is required.
- As in Dagu, `start` and `retry` exit with 0 if the run was stopped, if its preconditions are not met, or if it
  waits for approval, and with 1 if it failed or succeeded only partially. With `--strict`, only success is 0.
- A parameter behind `--` is one value with its spaces, quotes and `$`: `-- "A=1 B=2"` is the parameter `A` with the
  value `1 B=2`. Dagu joins them and reads the text anew; `--params "A=1 B=2"` is such a text here too.
- Quotes around the whole text of `--params` make it one positional value. Dagu takes them off.
- A DAG in a subfolder of the DAG folder has no name of its own: `start sub/report` is refused, and
  `start PATH/sub/report.yaml` sends the file.
- What the commands print has other words: `Result: Succeeded` of `status` is `succeeded` in the first line. Scripts use
  the exit code or `--json`.
- `start` has no `--root` and `--parent`, which only Dagu's own processes use.
- A mistake on the command line exits with 2 (Dagu: 1), Ctrl-C and SIGTERM with 130 (Dagu: 0) after
  they have stopped the run.
- With `--quiet`, `status` and `dry` print nothing; Dagu prints the same as without it.
- Options stand after the name of the command. Dagu also takes `--config` and `--dagu-home` before it.
- Options that concern Dagu's own files and workers (`--config`, `--dagu-home`, `--default-working-dir`, `--worker-id`,
  `--cpu-profile`) are accepted and have no effect.
- `exec --base` reads the file on your machine, and sends its fields with the command.
- `start-all` has no coordinator, and so no options `--coordinator.…` and `--peer.…`. Instead of `--dagu-home` and
  `--config` it reads Dagu's settings if the variable `DAGU_HOME` is set. It has no `--cpu-profile`.
  `scheduler` and `worker` are services of a cluster, with [settings](configuration.md) of their own.
- A server also deletes old runs by itself (`histRetentionDays`); `cleanup` deletes what is left.
- There is no `server`, `coordinator` and `migrate history`: use `up`, or `api` and `scheduler`.
"""


def document() -> str:
    """Return the text of the page."""
    return _HEAD + "".join(_exit_codes()) + _DAGU + "".join(_sections())


def _exit_codes() -> Iterator[str]:
    for code, meaning in EXIT_CODES.items():
        yield f"| {code} | {meaning} |\n"


def _sections() -> Iterator[str]:
    root = click.Context(cli, info_name="dagway")
    for section in SECTIONS:
        yield f"\n## {section}\n"
        for entry in COMMANDS:
            command = cli.get_command(root, entry.name)
            if entry.section == section and not entry.hidden and command is not None:
                yield from _command(command, click.Context(command, parent=root, info_name=entry.name))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"\n### {context.command_path}\n\n"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"`{context.command_path} {usage}`\n\n"
    yield f"{_paragraphs(command.help or '')}\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _command(below, click.Context(below, parent=context, info_name=name))
    else:
        yield from _options(command, context)
    if examples := getattr(command, "examples", "").strip("\n"):
        yield f"\n```sh\n{examples}\n```\n"


_SETTINGS = {option.flag for option in OPTIONS}
_CONNECTION = {"--url", "--profile", "--token", "--auth-basic-username", "--auth-basic-password"}


_COMMON = {"--json": "print JSON, as the API returns it", "--workspace": None}
"""Options that the page explains once, under *Output* and *Which server*, if they mean what they mean there."""


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the table of options. Settings have a page of their own, and the page begins with the connection."""
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    common = [flag for flag, help_ in _COMMON.items() if any(_is(each, flag, help_) for each in options)]
    rows = [
        record
        for each in options
        if not (_SETTINGS | _CONNECTION | set(common)) & set(each.opts) and (record := each.get_help_record(context))
    ]
    if rows:
        yield "\n| option | meaning |\n| --- | --- |\n"
        yield from (f"| `{_cell(flags)}` | {_cell(meaning)} |\n" for flags, meaning in rows)
    if common:
        yield f"\n{'Also takes' if rows else 'Takes'} {' and '.join(f'`{flag}`' for flag in common)}.\n"
    flags = {flag for each in options for flag in each.opts} - _CONNECTION - set(common)
    if settings := [f"`{option.flag}`" for option in OPTIONS if option.flag in flags]:
        yield f"\nTakes these [settings](configuration.md): {', '.join(settings)}.\n"


def _is(option: click.Option, flag: str, help_: str | None) -> bool:
    return flag in option.opts and help_ in (None, option.help)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
