"""``python -m bench.step_costs``: what a step costs the services, the broker and the database.

A chain of 50 steps, 200 parallel steps and a run of one step, each started by ``start?wait=`` several times on separate
services. Counters are read before and after, when the servers have written what they owe. So the figures include what
the services do meanwhile anyway, such as heartbeats. The table is that of ``docs/scale.md``.
"""

import argparse
import json
import os
import time
from pathlib import Path

from bench.loads.small import ApiClient
from bench.measuring.processes import cpu_of_each_s
from bench.systems.rig import Rig, Servers, distributed, servers
from tests.harness.servers import RabbitServer

_STEP = "  - name: s{}\n    command: 'true'\n"
_SHAPES = {
    "chain of 50": ("type: chain\n", 50, 20),
    "200 in parallel": ("type: graph\nplacement: spread\n", 200, 5),
    "run of one step": ("", 1, 300),
}
"""The first lines of each DAG, its steps, and how many runs are measured."""
_WARM_UP = 3
_SETTLE_S = 11
"""Postgres counts the rows of a session that has become idle up to 10 s later."""

_OF_POSTGRES = """
SELECT txid_snapshot_xmax(txid_current_snapshot()) AS writes, tup_inserted AS inserted, tup_updated AS updated,
       tup_deleted AS deleted, pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS log, wal_sync AS syncs
FROM pg_stat_database, pg_stat_wal WHERE datname = current_database()
"""
_OF_RABBITMQ = """
Syncs = maps:fold(fun({{ra_log_wal, _}}, #{{batches := Count}}, Sum) -> Sum + Count;
                     (ra_log_wal, #{{batches := Count}}, Sum) -> Sum + Count;
                     (_, _, Sum) -> Sum end, 0, ra_counters:overview()),
Bytes = rabbit_networking:connection_info_all([recv_oct, send_oct]),
Total = fun(Key) -> lists:sum([proplists:get_value(Key, Each) || Each <- Bytes]) end,
ok = file:write_file("{file}", io_lib:format("[~b, ~b, ~b]", [Syncs, Total(recv_oct), Total(send_oct)])),
ok.
"""
"""Quorum queues sync once for each batch of their common log."""


def _of_rabbitmq(rabbit: RabbitServer) -> dict[str, float]:
    file = Path(rabbit.dir) / "counters.json"
    rabbit.eval(_OF_RABBITMQ.format(file=file))
    syncs, received, sent = json.loads(file.read_text())
    return {"broker syncs": syncs, "received": received, "sent": sent}


def _counters(rig: Rig, used: Servers) -> dict[str, float]:
    time.sleep(_SETTLE_S)
    cpu_ms = {kind: spent * 1000 for kind, spent in cpu_of_each_s({**rig.pids, **used.pids}).items()}
    of_postgres = {key: float(value) for key, value in rig.rows(_OF_POSTGRES)[0].items()}
    return cpu_ms | of_postgres | _of_rabbitmq(used.rabbit)


def _measure(rig: Rig, used: Servers, shape: str) -> dict[str, float]:
    """Return what a step costs, by counter."""
    first, steps, runs = _SHAPES[shape]
    client, name = ApiClient(rig.url, own=True), f"costs{steps}"
    client.create(name, f"{first}steps:\n" + "".join(map(_STEP.format, range(steps))))

    def run() -> None:
        status, answer = client.ask("POST", f"/dags/{name}/start?wait=60s", {})
        assert status == 200, answer
        assert answer["dagRunDetails"]["statusLabel"] == "succeeded", answer

    for _ in range(_WARM_UP):
        run()
    before = _counters(rig, used)
    for _ in range(runs):
        run()
    after = _counters(rig, used)
    return {key: (after[key] - before[key]) / (steps * runs) for key in after}


def _rows(found: dict[str, dict[str, float]]) -> list[str]:
    """Return the lines of the table."""
    lines = {
        "transactions that write": (("writes",), "", 1),
        "rows inserted, updated, deleted": (("inserted", "updated", "deleted"), "", 1),
        "write-ahead log of Postgres": (("log",), " kB", 1000),
        "syncs of Postgres": (("syncs",), "", 1),
        "syncs of RabbitMQ, one node": (("broker syncs",), "", 1),
        "bytes to and from RabbitMQ": (("received", "sent"), " kB", 1000),
        "CPU time: workers, schedulers, gateway": (("workers", "schedulers", "gateways"), " ms", 1),
        "CPU time: RabbitMQ, Postgres": (("RabbitMQ", "Postgres"), " ms", 1),
    }
    rows = [f"| for each step | {' | '.join(found)} |", "| --- |" + " --- |" * len(found)]
    for title, (keys, unit, divisor) in lines.items():
        cells = (", ".join(f"{costs[key] / divisor:.1f}" for key in keys) + unit for costs in found.values())
        rows.append(f"| {title} | {' | '.join(cells)} |")
    return rows


def main() -> None:
    """Measure each shape and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.step_costs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with servers() as used, distributed(on=used) as rig:
        print("\n".join(_rows({shape: _measure(rig, used, shape) for shape in _SHAPES})))


if __name__ == "__main__":
    main()
