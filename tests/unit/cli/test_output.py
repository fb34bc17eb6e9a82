"""What commands print: tables, durations and the lines of a run."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.log_tail import LogLine
from services.cli.output.harmless import StepColours, harmless, line_as_shown
from services.cli.output.run_page import run_lines
from services.cli.output.tables import table, width
from services.cli.output.terminal import echo_json, echo_line_json, echo_output, echo_table, on_terminal, status_text
from services.cli.output.times import duration, seconds_between, short_time
from services.cli.remote.dagu_flags import dag_name, params_text
from services.cli.remote.watching import active_lines
from shared.language.expansion.params_syntax import parse_params_text

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def node(name: str, status: str, **more: Any) -> dict[str, Any]:
    times = {"startedAt": "2026-01-02T03:04:03Z", "finishedAt": "2026-01-02T03:04:04Z"}
    return {"step": {"name": name}, "statusLabel": status, "retryCount": 0, **times, **more}


def test_a_run_is_a_line_for_each_step() -> None:
    run = {
        "name": "etl",
        "dagRunId": "r1",
        "statusLabel": "running",
        "startedAt": "2026-01-02T03:03:00Z",
        "finishedAt": "",
        "params": "DAY=1",
        "scheduleTime": "2026-01-01T00:00:00Z",
        "nodes": [
            node("load", "succeeded", retryCount=2),
            node("変換", "running", finishedAt="", progress={"percent": 50, "text": "half"}),
            node("send", "not_started", startedAt="", finishedAt="", waitingFor="pool db is full"),
        ],
        "onFailure": node("onFailure", "failed", error="exit status 3\nmore", retryCount=1),
    }

    assert list(run_lines(run, NOW)) == [
        "etl  run r1  running  began 2026-01-02 03:03:00Z  so far 1m05s",
        "  scheduled for: 2026-01-01 00:00:00Z",
        "  params: DAY=1",
        "  ✓ load       succeeded               1s  after 2 retries",
        "  ▶ 変換       running                 2s  [████████░░░░░░░░] 50% half",
        "  · send       not_started                 pool db is full",
        "  ✗ onFailure  failed                  1s  after 1 retry: exit status 3",
    ]


def test_a_run_that_failed_before_its_first_step_says_why() -> None:
    why = 'failed to resolve secret "TOKEN": environment variable "TOKEN" is not set'
    run = {"name": "etl", "dagRunId": "r1", "statusLabel": "failed", "error": why, "startedAt": "", "finishedAt": ""}
    waiting = node("load", "not_started", startedAt="", finishedAt="")

    assert f"  error: {why}" in list(run_lines({**run, "nodes": [waiting]}, NOW))
    assert len(list(run_lines({**run, "nodes": [node("load", "failed", error=why)]}, NOW))) == 2, "the step says it"


def test_a_table_pads_wide_characters_and_colours_and_fills_empty_cells() -> None:
    red = "\x1b[31mfailed\x1b[0m"

    assert list(table(("A", "B", "C"), [("日本", red, ""), ("x", "ok\nno", "y")])) == [
        "A     B       C",
        f"日本  {red}  -",
        "x     ok no   y",
    ]
    assert width(red) == 6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "0s"), (0.44, "0.4s"), (2, "2s"), (59.6, "1m00s"), (65, "1m05s"), (7620, "2h07m")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_times() -> None:
    assert short_time("2026-01-02T03:04:05+09:00") == "2026-01-02 03:04:05+0900"
    assert short_time("-") == short_time("") == ""
    assert seconds_between("", "", NOW) is None
    assert seconds_between("2026-01-02T03:04:10Z", "", NOW) == 0, "the clocks differ"


_NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,5}", fullmatch=True)
_VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)  # what an argument can contain


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=4))
def test_parameters_arrive_as_they_were_given(pairs: list[tuple[str, str]]) -> None:
    arguments = [f"{name}={value}" for name, value in pairs]

    found, _ = parse_params_text(params_text(arguments))

    assert [(param.name, param.value) for param in found] == pairs


def test_parameters_by_position_and_from_the_option() -> None:
    assert params_text(("a b", "K=v"), "ignored") == '"a b" K="v"'
    assert params_text(("a b", "K=$v")) == '["a b", {"K": "$v"}]'
    assert params_text(("2=x", "http://a/?b=c")) == '2="x" "http://a/?b=c"', "2 is a position"
    assert params_text(('{"K": "$v"}',)) == '{"K": "$v"}'
    assert params_text(("{x",)) == '"{x"'
    assert params_text((), "P1=x y") == "P1=x y"


def test_a_dag_is_named_by_its_file_too() -> None:
    assert [dag_name(text) for text in ("a", "a.yaml", "/x/b.yml", "c.d")] == ["a", "a", "b", "c.d"]


HOSTILE = "a\x1b]0;title\x07b\x1bc\x9b2J\x7f\r\u202ec"
"""Sets the title of a window, resets the terminal, clears it, and turns the direction of the text."""


def test_no_text_acts_on_the_terminal_that_shows_it() -> None:
    assert harmless(HOSTILE) == r"a\x1b]0;title\x07b\x1bc\x9b2J\x7f\r\u202ec"
    assert harmless(harmless(HOSTILE)) == harmless(HOSTILE)
    assert (
        harmless("\x1b[32mgreen\x1b[0m\tnach\nAlmería 変換\u3000") == "\x1b[32mgreen\x1b[0m\tnach\nAlmería 変換\u3000"
    )


def test_tables_and_json_have_no_text_that_acts_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table(["NAME", "PARAMS"], [["etl", HOSTILE]], empty="")
    echo_json({"params": HOSTILE})
    echo_line_json({"params": HOSTILE})

    printed = capsys.readouterr().out
    assert harmless(printed) == printed
    *_, line = printed.splitlines()
    assert json.loads(line) == {"params": HOSTILE}


@pytest.mark.parametrize("terminal", [True, False])
def test_what_a_step_wrote_is_changed_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    echo_output("10%\r20%\r", head="load | ")

    assert capsys.readouterr().out == ("load | 20%" if terminal else "load | 10%\r20%\r") + "\n"


def test_the_name_of_a_step_before_its_output_does_not_act_on_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    echo_output("hi", head="a\x1b]52;c;eA==\x07 | ")

    assert capsys.readouterr().out == r"a\x1b]52;c;eA==\x07 | hi" + "\n"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("HTTP/1.1 200 OK\r", "HTTP/1.1 200 OK"),
        ("\x1b[2K\x1b[1G 50%|##  |\r\x1b[K100%|####|", "100%|####|"),
        ("\x1b[01;31m\x1b[Kerror:\x1b[m\x1b[K x", "\x1b[01;31merror:\x1b[m x"),
        ("\x1b[38:2::1:2:3mred\x1b[0m\r\x1b[0m", "\x1b[38:2::1:2:3mred\x1b[0m"),
        ("a\x1b]0;title\x07b\x1bcd\x1b[8mhidden", "abd\x1b[8mhidden\x1b[0m"),
        ("\x1b\x1b[2K]52;c;eA==\x07", r"\x1b]52;c;eA==\x07"),
        ("\r\x1b[K", ""),
        ("\x1b[31m\x1b[0m\x1b[32m 50%\r100%\r", "\x1b[32m100%\x1b[0m"),
        (f"\x1b[{'1;' * 1000}1mtext", "text"),
    ],
)
def test_a_line_of_output_is_shown_as_a_terminal_has_it_in_the_end(written: str, shown: str) -> None:
    assert line_as_shown(written) == shown
    assert harmless(shown) == shown


def test_a_colour_holds_for_the_next_lines_of_its_step_and_stream_only() -> None:
    colours = StepColours()
    lines = [
        ("a", "stdout", "\x1b[1;31mred", "\x1b[1;31mred\x1b[0m"),
        ("b", "stdout", "plain", "plain"),
        ("a", "stderr", "plain", "plain"),
        ("a", "stdout", "10%\r20%", "\x1b[1;31m20%\x1b[0m"),
        ("a", "stdout", "\x1b[0mnone, \x1b[32mgreen", "\x1b[1;31m\x1b[0mnone, \x1b[32mgreen\x1b[0m"),
        ("a", "stdout", "still", "\x1b[32mstill\x1b[0m"),
    ]

    for number, (step, stream, written, shown) in enumerate(lines):
        line = LogLine(step, stream, number, written)
        assert line_as_shown(written, colours.before(line)) == shown
    for number in range(1000):
        line = LogLine("a", "stdout", number, f"\x1b[38;5;{number % 256}mnever reset\x1b[{'1;' * number}m")
        assert len(colours.before(line)) < 1000


def test_a_colour_of_a_text_ends_with_it() -> None:
    hidden = "a\x1b[8mb"

    assert harmless(hidden) == harmless(harmless(hidden)) == "a\x1b[8mb\x1b[0m"
    assert list(table(("A", "B"), [(hidden, "c")]))[1] == "a\x1b[8mb\x1b[0m  c"


def test_commands_print_what_a_server_or_a_workflow_says_in_no_other_way() -> None:
    folder = Path(__file__).parents[3] / "services/cli"
    files = [*folder.glob("remote/*.py"), *folder.glob("local/*.py")]
    others = [path.name for path in sorted(files) if "click.echo(" in path.read_text()]
    assert others == ["formatting.py"], "which prints a file as it will be"


def test_one_active_run_is_one_run() -> None:
    one = {"name": "etl", "dagRunId": "r1", "statusLabel": "running", "startedAt": "2026-01-02T03:04:03Z"}

    assert next(active_lines([one])).startswith("1 active run, ")
    assert next(active_lines([one, one])).startswith("2 active runs, ")


def test_an_active_run_that_waits_for_approval_says_so() -> None:
    one = {"name": "a", "dagRunId": "r", "statusLabel": "waiting", "startedAt": ""}

    *_, row = active_lines([one])

    assert row.split() == ["a", "r", "waiting", "-", "approval"]


@pytest.mark.parametrize(("term", "drawn"), [("xterm", True), ("dumb", False)])
def test_a_terminal_that_cannot_be_drawn_on_gets_lines_without_colours(
    monkeypatch: pytest.MonkeyPatch, term: str, drawn: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", term)

    assert on_terminal() is drawn
    assert ("\x1b" in status_text("failed")) is drawn
