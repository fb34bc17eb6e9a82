"""Scenes in which something is full: a worker's disk, the broker's disk, a gateway's memory for audit entries.

And the one about the Prometheus of an installation.
"""

from concurrent.futures import ThreadPoolExecutor

import urllib3

from tests.alerts.pages import check_of
from tests.alerts.scene import Scene
from tests.alerts.watched import Watched
from tests.harness.eventually import eventually

__all__ = ["ROOM"]

_VOLUME_MIB = 64
_LARGE = "steps:\n  - name: one\n    command: head -c 60M /dev/zero > large; exit 3\n"
_CLIENTS = 2_500
"""A gateway keeps the entries of 2,000."""


def _fill_a_workers_disk(watched: Watched) -> None:
    """The files of a failed run take most of the worker's volume, as in a pod: the disk below it has room."""
    cluster = watched.cluster
    (worker,) = cluster.workers
    watched.compose.declare(worker, DAGWAY_DATA_SIZE=f"{_VOLUME_MIB}Mi", DAGWAY_RUN_FILES_MIB="0")
    watched.compose.carry_out("docker compose up --detach --wait")
    cluster.client.create("large", _LARGE)
    cluster.client.start("large")
    cluster.client.until("failed", "large")


def _its_files_go(watched: Watched) -> None:
    # The alert ends for a moment while the worker is not scraped.
    size = _VOLUME_MIB << 20
    emptied = f"dagway_disk_size_bytes == {size} and dagway_disk_free_bytes > {size // 2}"
    eventually(lambda: bool(watched.leaf.ask(emptied)), timeout_s=120)


def _little_room_for_the_broker(watched: Watched) -> None:
    """The limit comes near to the free space, instead of the free space to the limit."""
    (free,) = watched.leaf.ask("rabbitmq_disk_space_available_bytes").values()
    watched.cluster.rabbit.ctl("set_disk_free_limit", str(int(free * 2 / 3)))


def _nothing_piles_up(watched: Watched) -> dict[str, str]:
    assert "dagway.commands" in watched.compose.carry_out(check_of("DagwayBrokerDiskLow", "list_queues"))
    return {}


def _refuse_many_clients(watched: Watched) -> None:
    """Without the broker, requests of more clients are refused than a gateway has room for."""
    watched.cluster.rabbit.kill()
    eventually(lambda: watched.firing("DagwayBrokerDown"), timeout_s=180)
    url = f"{watched.cluster.client.base}/api/v2/dags"
    pool = urllib3.PoolManager(retries=False, timeout=60, maxsize=8)

    def refused(number: int) -> None:
        headers = {"Content-Type": "application/json", "X-Forwarded-For": f"10.0.{number // 250}.{number % 250}"}
        assert pool.request("POST", url, body=b"{}", headers=headers).status == 400

    with ThreadPoolExecutor(8) as clients:
        for _ in clients.map(refused, range(_CLIENTS)):
            pass
    pool.clear()


def _kill_the_leaf(watched: Watched) -> None:
    watched.leaf.kill()


ROOM = {
    "DagwayDiskFull": Scene(
        _fill_a_workers_disk, says=("Limit the files of runs",), fill=lambda _: {"MIB": "1"}, then=_its_files_go
    ),
    "DagwayBrokerDiskLow": Scene(_little_room_for_the_broker, says=("Lower the limit until",), fill=_nothing_piles_up),
    "DagwayAuditDropped": Scene(_refuse_many_clients, says=("Restart the broker",), inhibited_by="DagwayBrokerDown"),
    "DagwayLeafDown": Scene(_kill_the_leaf),
}
