"""Metrics by DAG on both deployments: those beyond the limit share a label, and a deleted DAG gives its place back."""

import re
from collections.abc import Callable
from dataclasses import replace

from services.api.caches.run_totals import RunTotals
from tests.conformance.rest_live import Live

WAITS = "steps:\n  - name: nap\n    command: sleep 300\n"
_ENDED = re.compile(r'dagu_dag_runs_total_by_dag\{dag="(.+?)",status="succeeded"\} (\d+)')
_LASTED = re.compile(r'dagu_dag_run_duration_seconds_count\{dag="(.+?)"\} (\d+)')
_RUNNING = re.compile(r'dagu_dag_runs_currently_running_by_dag\{dag="(.+?)"\} (\d+)')
_FOLDED = re.compile(r"dagway_dags_folded (\d+)")


def scrapes(live: Live, limit: int) -> Callable[[], str]:
    """Return a function that scrapes a gateway with this limit; by its clock, 1 s lies between two scrapes."""
    seconds = iter(range(1_000_000, 2_000_000))
    totals = RunTotals(max_dags=limit, clock_s=lambda: next(seconds))
    gateway = Live(replace(live.deps, totals=totals), live.reads)
    return lambda: str(gateway.ask("GET", "/metrics").get_data(as_text=True))


def by_dag(series: re.Pattern[str], text: str) -> dict[str, int]:
    return {dag: int(float(runs)) for dag, runs in series.findall(text)}


def folded(text: str) -> int:
    [many] = _FOLDED.findall(text)
    return int(many)


def test_dags_beyond_the_limit_share_a_label_until_a_deleted_dag_gives_its_place_back(live: Live) -> None:
    scrape = scrapes(live, limit=2)
    text = scrape()
    for name in ("a", "b", "c", "d"):
        live.dag(name)
        assert live.post(f"/dags/{name}/start?wait=60s")["finished"] is True
        text = scrape()
        assert sum(by_dag(_ENDED, text).values()) == "abcd".index(name) + 1, "an ended run counts a second later"

    assert by_dag(_ENDED, text) == by_dag(_LASTED, text) == {"a": 1, "b": 1, "other": 2}
    assert folded(text) == 2

    live.dag("e", WAITS)
    live.start("e", dagRunId="r")
    live.until("e", "r", 1)
    text = scrape()
    assert by_dag(_RUNNING, text) == {"a": 0, "b": 0, "other": 1}
    assert folded(text) == 3, "a DAG whose first run has not ended counts too"

    for name in ("a", "b"):
        assert live.ask("DELETE", f"/dags/{name}").status_code == 204
    text = scrape()
    assert by_dag(_ENDED, text) == by_dag(_LASTED, text) == {"c": 1, "d": 1}
    assert by_dag(_RUNNING, text) == {"c": 0, "d": 0, "other": 1}
    assert folded(text) == 1

    assert live.ask("DELETE", "/dags/c").status_code == 204
    text = scrape()
    assert by_dag(_ENDED, text) == {"d": 1}
    assert by_dag(_RUNNING, text) == {"d": 0, "e": 1}, "a running DAG needs no ended run to get a place"
    assert folded(text) == 0
    assert live.ask("POST", "/dag-runs/e/r/stop").status_code == 200
