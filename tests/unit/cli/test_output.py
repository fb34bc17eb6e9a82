"""What commands print: tables, durations and the lines of a run."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.output.run_page import run_lines
from services.cli.output.tables import table, width
from services.cli.output.times import duration, seconds_between, short_time
from services.cli.remote.dagu_flags import dag_name, params_text
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
        "onFailure": node("onFailure", "failed", error="exit status 3\nmore"),
    }

    assert list(run_lines(run, NOW)) == [
        "etl  run r1  running  began 2026-01-02 03:03:00Z  so far 1m05s",
        "  scheduled for: 2026-01-01 00:00:00Z",
        "  params: DAY=1",
        "  ✓ load       succeeded               1s  after 2 retries",
        "  ▶ 変換       running                 2s  [████████░░░░░░░░] 50% half",
        "  · send       not_started                 pool db is full",
        "  ✗ onFailure  failed                  1s  exit status 3",
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
    assert params_text(("a b", "K=v"), "ignored") == '["a b", {"K": "v"}]'
    assert params_text((), "P1=x y") == "P1=x y"


def test_a_dag_is_named_by_its_file_too() -> None:
    assert [dag_name(text) for text in ("a", "a.yaml", "/x/b.yml", "c.d")] == ["a", "a", "b", "c.d"]
