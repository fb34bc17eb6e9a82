"""``python -m tests.unit.language.fuzzing [rounds] [seed]``: hostile text for all that reads text.

Each target takes a text and raises when a promise is broken; a text is an example's, spoiled, or a
heap of pieces that mean something to one of the readers. The same seed gives the same texts.
"""

import contextlib
import random
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from services.worker.attempt.fan_out import split_items
from services.worker.inputs.dotenv import parse_dotenv
from shared.language.cron import next_fire
from shared.language.expansion.expand import (
    ExpansionError,
    Scope,
    StepFacts,
    expand,
    expand_text,
    needs_shell,
    unresolved,
)
from shared.language.expansion.params_syntax import parse_params_text
from shared.language.expansion.resolve import resolve_params
from shared.language.expansion.shell_text import shell_command
from shared.language.load import load
from shared.language.model import Dag
from shared.language.schedule import cron_error
from shared.language.steps.command_line import split_command

__all__ = ["TARGETS", "fuzz"]

_SLOWEST_S = 8
"""CPU time, far above what any text may take."""
_PIECES = [
    "---\n", "- ", ": ", "{", "}", "[", "]", "&a ", "*a ", "!!binary ", "|\n  ", ">\n", "\t", "'", '"', "`", "${", "$(",
    "\0", "\ufeff", "\u2028", "<<: ", "? ", "%YAML 1.1\n", "1e999", "-0x1", ".inf", "null", "~", "re:", "\U0001f600",
    "steps:\n", "params:\n", "env:\n", "depends:\n", "schedule: '* * * * *'\n", "handlerOn:\n", "# dagway-snapshot: {}\n",  # noqa: E501 - a spec reads best in one piece
]  # fmt: skip
_WORDS = [
    "$", "${", "}", "$((", "))", "$(", ")", "`", "\\`", "\\", "'", '"', "#", "##", "%", "//", "^^", ",,", ":-", ":+",
    ":?", ":1:2", ".a[0].b", ".[0]", "X", "Y", "EVIL", "1", "12", "s.stdout", "s.exit_code", ":", "=", " ", "\n", "K=",
    "a", "*", "?", "[a-z]", '{"a":1}', "[1,2]", "0", "9**9**9", "<<", ">>", "/0", "~", "-", "!",
]  # fmt: skip
_CRON = ["*", "/", ",", "-", "?", " ", "0", "5", "7", "12", "59", "60", "31", "mon", "FRI", "jan", "L", "#", "@daily",
         "CRON_TZ=Europe/Berlin ", "TZ=", "*/15", "1-5", "5-1", "0 0 29 2 *", "\t", "é"]  # fmt: skip
_EXAMPLES = [path.read_text() for path in sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))]
_VALUES: Mapping[str, str] = {
    "X": "x y",
    "Y": '{"a":[{"b":"z"}]}',
    "EVIL": "`touch evil` $(touch evil) ${X} '; touch evil; \"",
    "1": "one",
}
_STEPS = {"s": StepFacts("/log/s.out", "/log/s.err", 3, "put out")}
_SCOPE = Scope((_VALUES,), _STEPS)
_TAME = Scope(({"EVIL": "a value without a meaning"}, _VALUES), _STEPS)


def _loads(text: str) -> None:
    loaded = load(text, file_name="x.yaml")
    for dag in loaded.documents:
        assert Dag.model_validate_json(dag.model_dump_json()) == dag


def _expands(text: str) -> None:
    """A value never becomes a command, whatever stands around it."""
    ran = _commands(text, _SCOPE)
    assert not ran or needs_shell(text)
    assert len(ran) == len(_commands(text, _TAME))
    expand_text(text, _SCOPE)
    shell_command(text, _SCOPE)
    unresolved(text, _VALUES)


def _commands(text: str, scope: Scope) -> list[str]:
    """Return the commands that evaluating ``text`` runs; each prints another one."""
    ran: list[str] = []

    def run(command: str) -> str:
        ran.append(command)
        return "`touch evil`"

    with contextlib.suppress(ExpansionError):
        expand(text, scope, run)
    return ran


def _schedules(text: str) -> None:
    fault = cron_error(text)
    found = next_fire(text, datetime(2026, 3, 28, 23, 59, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
    assert found is None or not fault


def _takes_params(text: str) -> None:
    """What comes from outside never runs anything."""

    def run(command: str) -> str:
        raise AssertionError(command)

    resolve_params(Dag(name="d"), text, run_command=run)
    parse_params_text(text)
    split_items(text)


def _splits(text: str) -> None:
    try:
        expected: tuple[str, ...] | None = tuple(shlex.split(text))
    except ValueError:
        expected = None
    try:
        found: tuple[str, ...] | None = split_command(text)
    except ValueError:
        found = None
    if "`" not in text:
        assert found == expected


def _reads_dotenv(text: str) -> None:
    parse_dotenv(text, _VALUES)


TARGETS: dict[str, tuple[Callable[[str], None], list[str]]] = {
    "load": (_loads, _PIECES),
    "expand": (_expands, _WORDS),
    "schedule": (_schedules, _CRON),
    "params": (_takes_params, _WORDS),
    "command": (_splits, _WORDS),
    "dotenv": (_reads_dotenv, _WORDS),
}


def _spoiled(dice: random.Random) -> str:
    """Return an example with some pieces put in, taken out, doubled or moved."""
    text = dice.choice(_EXAMPLES)
    for _ in range(dice.randint(1, 12)):
        at, size = dice.randrange(len(text) + 1), dice.randint(0, 40)
        piece = dice.choice((dice.choice(_PIECES), text[at : at + size], "", chr(dice.randrange(0xD800))))
        text = text[:at] + piece * dice.choice((1, 1, 2, 50)) + text[at + dice.choice((0, size)) :]
    return text


def _heap(dice: random.Random, pieces: list[str]) -> str:
    count = dice.choice((3, 8, 20, 20, 200))
    return "".join(dice.choice(pieces) for _ in range(dice.randint(1, count)))


def fuzz(rounds: int, seed: int) -> None:
    """Give every target one new text in each round.

    Raises:
        AssertionError: a promise was broken; says the seed and the text.
    """
    dice = random.Random(seed)
    for _ in range(rounds):
        for name, (target, pieces) in TARGETS.items():
            text = _spoiled(dice) if name == "load" else _heap(dice, pieces)
            began = time.process_time()
            try:
                target(text)
                assert time.process_time() - began < _SLOWEST_S, "too slow"
            except Exception as fault:
                msg = f"{name}, seed {seed}: {text!r}: {fault!r}"
                raise AssertionError(msg) from fault


if __name__ == "__main__":
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    sys.stdout.write(f"seed {chosen}\n")
    fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000, chosen)
