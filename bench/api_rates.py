"""``python -m bench.api_rates``: throughput of a gateway, compared with minimal servers.

Measures requests/s over 16 connections and CPU time per request, with a long history in Postgres
(``bench.systems.history``). The contenders are two endpoints of the gateway (run details, recorded starts); a Flask
route under gunicorn that does one indexed SELECT, on threads and on greenlets (``bench.floor.bare_read``); and a
minimal service that stores requests as durably as a recorded start (``bench.floor.bare_command``). The contenders run
in turns, so that changes of the machine's speed affect all of them. Ratios are medians over the rounds.
"""

import argparse
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import urllib3

from bench.floor.bare_command import bare_command
from bench.measuring.http_load import Measured, flat_out
from bench.measuring.processes import cpu_s
from bench.systems.history import THREADS, Aged, aged
from bench.systems.rig import running
from tests.harness.eventually import free_port

_CONNECTIONS = 16
_SPEC = "steps:\n  - name: one\n    command: echo hi\n"


@dataclass(frozen=True, slots=True)
class _Contender:
    """An endpoint to measure. ``pids`` are the processes whose CPU time counts; the first is the HTTP server."""

    name: str
    port: int
    method: str
    path: str
    pids: Mapping[str, int]

    def run(self, seconds: float) -> tuple[Measured, dict[str, float]]:
        """Send requests for ``seconds``; return the rates, and each process's CPU time per request in ms."""
        began_s = {name: cpu_s(pid) for name, pid in self.pids.items()}
        found = flat_out(self.port, self.method, self.path, connections=_CONNECTIONS, seconds=seconds)
        count = found.rate * seconds
        return found, {name: (cpu_s(self.pids[name]) - since) * 1000 / count for name, since in began_s.items()}


def _contenders(stack: ExitStack, dagway: Aged) -> list[_Contender]:
    http = urllib3.PoolManager(retries=urllib3.Retry(connect=25, backoff_factor=0.1, backoff_max=1))
    bare_port, green_port, command_port = free_port(), free_port(), free_port()
    bare_pid = stack.enter_context(running("bench.floor.bare_read", str(bare_port), dagway.database_url, str(THREADS)))
    words = (str(green_port), dagway.database_url, str(THREADS), "green")
    green_pid = stack.enter_context(running("bench.floor.bare_read", *words))
    command_pids = stack.enter_context(bare_command(dagway.amqp_url, dagway.database_url, command_port, THREADS))
    servers = {name: dagway.pids[name] for name in ("broker", "database")}
    # Created and started once through the API, since the generated history suffices for reads only.
    body = {"name": "started", "spec": _SPEC}
    made = [
        http.request("POST", f"{dagway.api}/dags", json=body),
        http.request("POST", f"{dagway.api}/dags/started/start"),
    ]
    if [answer.status for answer in made] != [201, 200]:
        raise RuntimeError(f"{[answer.data for answer in made]}")
    found = [
        _Contender("bare Flask, one SELECT", bare_port, "GET", "/run/dag-8/id-7", {"route": bare_pid}),
        _Contender("the same on greenlets", green_port, "GET", "/run/dag-8/id-7", {"route": green_pid}),
        _Contender("GET run details", dagway.port, "GET", "/api/v2/dag-runs/dag-8/id-7", _first(dagway.pids)),
        _Contender("bare recorded command", command_port, "POST", "/run/started", {**command_pids, **servers}),
        _Contender("POST start, recorded", dagway.port, "POST", "/api/v2/dags/started/start", dagway.pids),
    ]
    for one in found:
        answer = http.request(one.method, f"http://127.0.0.1:{one.port}{one.path}")
        assert answer.status == 200, answer.data
    return found


def _first(pids: Mapping[str, int]) -> dict[str, int]:
    name = next(iter(pids))
    return {name: pids[name]}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3, help="seconds of each turn")
    given = parser.parse_args()
    with aged() as dagway, ExitStack() as stack:
        contenders = _contenders(stack, dagway)
        for one in contenders:
            one.run(1)  # opens its connections
        print(
            f"{_CONNECTIONS} connections, {given.rounds} rounds of {given.seconds:g} s, load {os.getloadavg()[0]:.1f}"
        )
        rounds = []
        for turn in range(given.rounds):
            # The order rotates, so that no contender is always last.
            order = contenders[turn % len(contenders) :] + contenders[: turn % len(contenders)]
            rounds.append({one.name: one.run(given.seconds) for one in order})
        bare = contenders[0].name
        for one in contenders:
            found = [result[one.name][0] for result in rounds]
            spent = {name: median(result[one.name][1][name] for result in rounds) for name in one.pids}
            ratio = median(result[one.name][0].rate / result[bare][0].rate for result in rounds)
            rates = sorted(round(each.rate) for each in found)
            p50_ms, p99_ms = (median(getattr(each, name) for each in found) for name in ("p50_ms", "p99_ms"))
            rate = f"{median(rates):6.0f}/s ({rates[0]} to {rates[-1]}), {ratio:.0%} of the first"
            print(f"  {one.name:24} {rate}; p50 {p50_ms:.1f} p99 {p99_ms:.1f} ms")
            each = ", ".join(f"{name} {took_ms:.2f}" for name, took_ms in spent.items())
            print(f"    CPU ms per request: {each}; {sum(spent.values()):.2f} in all")


if __name__ == "__main__":
    main()
