r"""A crontab becomes workflows: one for each line with a schedule. Pure, but for ``import_crontab``.

The format is that of crontab(5): variables count for the lines below them, ``%`` ends the command and begins its
standard input, and ``\%`` is a percent sign.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from services.importing.definitions import save_definition, write_copy
from services.importing.report import Report
from services.importing.target import open_target
from shared.language.issues import Issue
from shared.language.load import load
from shared.settings.config import Config

__all__ = ["CronLine", "cron_lines", "import_crontab", "workflow_of"]

_VARIABLE = re.compile(r"""([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)'|(.*?))\s*""")
_SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = 5
_PERCENT = re.compile(r"(?<!\\)%")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_.]+")
_MOST_NAME = 30
_STDIN_ENDS = "END_OF_STDIN"
_NOT_UTF_8 = "\N{REPLACEMENT CHARACTER}"
"""What a reader puts in place of bytes that are not UTF-8. With it the command would do something else."""
_ZONES = ("CRON_TZ", "TZ")


@dataclass(frozen=True, slots=True)
class CronLine:
    """A line with a schedule. ``problem``: why it cannot become a workflow; empty if it can."""

    number: int
    schedule: str
    command: str
    env: Mapping[str, str]
    problem: str = ""

    @property
    def name(self) -> str:
        """A name for the workflow. It depends on the schedule and command only, so it is the same at each import."""
        program = _NOT_IN_NAME.sub("-", Path((self.command.split() or ["line"])[0]).name).strip("-.")[:_MOST_NAME]
        digest = hashlib.sha256(f"{self.schedule} {self.command}".encode()).hexdigest()
        return f"{program or 'line'}-{digest[:6]}"


def cron_lines(text: str, *, system: bool = False) -> Iterator[CronLine]:
    """Yield the lines that have a schedule. ``system``: a user's name precedes the command, as in /etc/crontab."""
    env: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if (match := _VARIABLE.fullmatch(line)) is not None:
            env[match[1]] = next((value for value in match.groups()[1:] if value is not None), "")
            continue
        words = 1 if line.startswith("@") else _FIELDS
        parts = line.split(None, words + system)
        if len(parts) <= words + system:
            yield CronLine(number, " ".join(parts[:words]), "", dict(env), "the line has no command")
            continue
        schedule, command = " ".join(parts[:words]), parts[-1]
        problem = ""
        if schedule.startswith("@"):
            problem = "" if schedule in _SHORTHANDS else f"{schedule} has no counterpart"
            schedule = _SHORTHANDS.get(schedule, schedule)
        if _NOT_UTF_8 in "".join((command, *env.values())):
            problem = "the line, or a variable above it, is not UTF-8 text"
        yield CronLine(number, schedule, command, dict(env), problem)


def workflow_of(line: CronLine) -> str:
    """Return the text of the workflow that does what the line does."""
    env = dict(line.env)
    zone = next((env[name] for name in _ZONES if env.get(name)), "")
    env.pop("CRON_TZ", None)
    env.pop("MAILTO", None)
    shell = env.pop("SHELL", "")
    command, *given = _PERCENT.split(line.command)
    command = command.replace("\\%", "%").strip()
    text = [
        "# From a crontab.",
        f"schedule: {json.dumps(f'CRON_TZ={zone} {line.schedule}' if zone else line.schedule)}",
    ]
    if shell:
        text.append(f"shell: {json.dumps(shell)}")
    if env:
        text += ["env:", *(f"  - {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in env.items())]
    text += ["steps:", "  - name: run"]
    if given:
        stdin = "\n".join(given).replace("\\%", "%")
        script = f"{{ {command}\n}} <<'{_STDIN_ENDS}'\n{stdin}\n{_STDIN_ENDS}\n"
        text.append(f"    script: {json.dumps(script, ensure_ascii=False)}")
    else:
        text.append(f"    command: {json.dumps(command, ensure_ascii=False)}")
    return "\n".join(text) + "\n"


def import_crontab(config: Config, text: str, version: str, *, system: bool = False, dry_run: bool = False) -> Report:
    """Store a workflow for each line. What is here already stays as it is.

    Raises:
        ConfigInvalid: the database has an earlier schema.
        StoreUnavailable: the database is unavailable.
    """
    report = Report()
    with open_target(config, dry_run=dry_run) as target:
        for line in cron_lines(text, system=system):
            name = f"{line.name}.yaml"
            spec = workflow_of(line)
            problem = line.problem or "; ".join(
                _without_place(issue) for issue in load(spec, file_name=line.name).errors
            )
            if problem:
                report.add("line", str(line.number), "refused", problem)
                continue
            folder = config.dags_dir
            if folder is not None and (why := write_copy(folder / name, spec, dry_run=dry_run)):
                report.add("line", str(line.number), "differs", why)
                continue
            remark = "; ".join(_remarks(line))
            save_definition(target, report, name, spec, version=version, follows=folder is not None, remark=remark)
    return report


def _without_place(issue: Issue) -> str:
    """Return a problem without its line, which is one of the workflow that nobody sees."""
    return str(replace(issue, line=0))


def _remarks(line: CronLine) -> Iterator[str]:
    """Yield what is not as under cron."""
    if mail := line.env.get("MAILTO"):
        yield f"output is not mailed to {mail}: see mailOn in the workflow reference"
    if any("$" in value for value in line.env.values()):
        yield "cron does not expand $ in the value of a variable; here it is expanded"
