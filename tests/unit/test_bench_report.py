"""The tables in docs/performance.md come from the JSON of ``bench.compare``."""

from pathlib import Path
from typing import Any

import pytest

from bench.report import marks, replaced, table

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def measured(contender: str, w1: float, *, failed: int = 0, phases: dict[str, float] | None = None) -> dict[str, Any]:
    return {
        "contender": contender,
        "round": 0,
        "load": 0.1,
        "figures": {"w1": w1, "w1 p99": w1, "w2 failed": failed, "w2": 100.0, "w3": 200.0, "w4": 8.0},
        "core_ms": {"w2": {"workers": 3.0, "schedulers": 1.5}, "w4": {"workers": 4.0, "schedulers": 2.0}},
        "phases_ms": phases or {},
    }


def results(*rounds: dict[str, Any]) -> dict[str, Any]:
    conditions = {
        "at": "2026-11-27T10:00:00+00:00",
        "cores": 2,
        "python": "3.11",
        "rounds": 3,
        "workers": 2,
        "sizes": {"single": 60, "many": 300, "wide": 200, "chain": 50},
    }
    return {"conditions": conditions, "measured": list(rounds)}


def test_a_row_has_the_median_the_spread_and_the_ratio_to_the_floor() -> None:
    text = table(results(measured("D", 30), measured("floor", 5), measured("D", 10), measured("D", 12)))

    [row] = [line for line in text.splitlines() if line.startswith("| D | 12")]
    assert row.split("|")[2] == " 12.0 (10.0 to 30.0, 2.4 of floor) "
    assert row.split("|")[6].strip() == "", "no details were measured"
    assert "| D | 4.5 | workers 3.0, schedulers 1.5 | 6.0 | workers 4.0, schedulers 2.0 |" in text


def test_runs_that_failed_are_named() -> None:
    assert "| Dagu (3 runs of w2 failed) |" in table(
        results(measured("Dagu", 9, failed=1), measured("Dagu", 9, failed=2))
    )


def test_sizes_of_its_own_are_named() -> None:
    usual = {"single": 60, "many": 300, "wide": 200, "chain": 50}
    small = {"single": 5, "many": 20, "wide": 50, "chain": 10}

    text = table(results({**measured("P", 900), "sizes": small}, {**measured("D", 10), "sizes": usual}))

    assert "| P (w1 5, w2 20, w3 50, w4 10) | 900 " in text
    assert "| D | 10.0 " in text


def test_phases_show_which_part_of_the_time_they_explain() -> None:
    phases = {"accepted_created": 2.0, "ended_decided": 6.0, "client": 10.0}

    text = table(results(measured("D", 10, phases=phases), measured("floor", 5)))

    assert "| D | 2.0 | 6.0 | 80% |" in text


@pytest.mark.parametrize("kind", ["bench", "bench.compare"])
def test_only_what_stands_between_the_marks_is_replaced(kind: str) -> None:
    page = PAGE.read_text()

    begin, end = marks(kind)

    written = replaced(page, kind, "new tables")

    assert f"{begin}\nnew tables\n{end}" in written
    before, _, after = page.partition(begin)
    assert written.startswith(before)
    assert written.endswith(after.partition(end)[2])
    with pytest.raises(ValueError, match="no lines"):
        replaced("no marks", kind, "new tables")


def measured_large(contender: str, *, failed: int = 0, running: int = 300) -> dict[str, Any]:
    figures = {
        "w5": 40.0,
        "w5 failed": failed,
        "w7": 8.0,
        "w7 running": running,
        "w7 asked": 300,
        "w7 MB": 1.5,
        "w7 own MB": 0.25,
        "logs": 9,
    }
    w5 = {"before": {"workers": 80.0, "gateways": 70.0}, "after": {"workers": 90.0, "gateways": 75.0}}
    logs = {"before": {"workers": 90.0, "gateways": 75.0}, "peak": {"workers": 99.0, "gateways": 81.0}}
    return {"contender": contender, "round": 0, "load": 0.1, "figures": figures, "memory_mb": {"w5": w5, "logs": logs}}


def large_results(*rounds: dict[str, Any]) -> dict[str, Any]:
    found = results(*rounds)
    found["conditions"] |= {
        "large_workers": 4,
        "large_sizes": {"runs": 10, "steps": 40, "lines": 100, "sleeps": 300, "log_mb": 50},
    }
    return found


def test_large_workloads_have_tables_of_their_own() -> None:
    text = table(large_results(measured("D", 10), measured_large("D")))

    assert "| D | 10.0 (10.0 to 10.0) |" in text
    assert (
        "| D | 40.0 (40.0 to 40.0) | 8.0 (8.0 to 8.0) | 1.5 (1.5 to 1.5) | 0.25 (0.25 to 0.25) | 9.0 (9.0 to 9.0) |"
        in text
    )
    memory = "150 → 165 | workers 80 → 90, gateways 70 → 75 | 165 → 180 | workers 90 → 99, gateways 75 → 81"
    assert f"| D | {memory} |" in text


def test_large_workloads_alone_are_a_report() -> None:
    assert "w1" not in table(large_results(measured_large("D")))


def test_the_floor_runs_one_of_the_large_workloads() -> None:
    floor = measured_large("floor")
    floor["figures"] = {"w5": 80.0, "w5 failed": 0}
    del floor["memory_mb"]["logs"]

    text = table(large_results(measured_large("D"), floor))

    assert "| D | 40.0 (40.0 to 40.0, 0.5 of floor) | 8.0 (8.0 to 8.0) |" in text
    assert "| floor | 80.0 (80.0 to 80.0) |  |  |  |  |" in text
    assert "| floor | 150 → 165 | workers 80 → 90, gateways 70 → 75 |  |  |" in text


def test_what_a_system_could_not_do_is_said() -> None:
    text = table(large_results(measured_large("Dagu", failed=2, running=150)))

    assert "| Dagu (2 runs of w5 failed, at most 50% of w7 at once) |" in text


def test_a_server_at_a_url_has_no_processes() -> None:
    small = measured("http://server", 10) | {"core_ms": {"w2": {}, "w4": {}}}
    large = measured_large("http://server") | {"memory_mb": {name: {"before": {}} for name in ("w5", "logs")}}
    large["figures"] = {"w5": 40.0, "w5 failed": 0, "logs": 9.0}

    text = table(large_results(small, large))

    assert [line for line in text.splitlines() if line.startswith("| http://server |")] == [
        "| http://server | 10.0 (10.0 to 10.0) | 100 (100 to 100) | 200 (200 to 200) | 8.0 (8.0 to 8.0) |  |",
        "| http://server | 40.0 (40.0 to 40.0) |  |  |  | 9.0 (9.0 to 9.0) |",
    ]


def test_scale_has_a_row_for_each_number_of_schedulers() -> None:
    points = [
        {"schedulers": schedulers, "workers": workers, "steps_a_second": 20.0 * workers, "of_slots": 0.8}
        for schedulers in (1, 2)
        for workers in (1, 4)
    ]

    text = table(results() | {"conditions": results()["conditions"] | {"load": 0.3}, "scale": points})

    assert "| schedulers | 1 worker | 4 workers |\n| --- | --- | --- |" in text
    assert "| 2 | 20.0 (80%) | 80.0 (80%) |" in text


def test_reads_and_an_idle_system_have_tables() -> None:
    read = {"runs": 1_000_000, "rate": 100, "read": "queues", "p50": 3.0, "p99": 6.5, "worst": 9.0, "core_ms": 0.5}
    idle = {
        "transactions": 0.9,
        "fsyncs": 0.8,
        "core": {"schedulers": 0.006, "workers": 0.002},
        "mb": {"schedulers": 65.0, "workers": 41.0},
    }

    text = table(results(measured("D", 10)) | {"reads": [read], "idle": [idle]})

    assert "w6: reads with 1,000,000 runs at 100 requests/s, in ms:" in text
    assert "| queues | 3.0 | 6.5 | 0.50 |" in text
    assert "| CPU time | 0.80% of a core: schedulers 0.60%, workers 0.20% |" in text
    assert "| memory of each | schedulers 65 MB, workers 41 MB |" in text
