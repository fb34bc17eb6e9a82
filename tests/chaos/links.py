"""Faults of the links between processes and servers."""

import threading
from collections.abc import Callable

from tests.chaos.model import Fault
from tests.chaos.process_faults import Carry
from tests.chaos.systems import BROKER, DATABASE, ProxiedCluster
from tests.harness.proxy import Proxy

__all__ = ["link_faults"]

_LATENCY_S = 0.05


def link_faults(system: ProxiedCluster, over: threading.Event) -> dict[str, Carry]:
    """Return how to carry out each kind of fault of a link. ``over`` ends every wait early."""
    workers = {system.names[process] for process in system.workers}
    acts: dict[str, Callable[[Proxy], None]] = {
        "slow": lambda proxy: proxy.slow(_LATENCY_S),
        "stalled": Proxy.stall,
        "half open": Proxy.half_open,
        "reset": Proxy.cut,
    }

    def carry(server: str, act: Callable[[Proxy], None]) -> Carry:
        links = sorted(link for link in system.links if link[1] == server)

        def one(fault: Fault) -> tuple[str, tuple[str, ...]]:
            process, _ = link = links[fault.target % len(links)]
            act(system.links[link])
            try:
                over.wait(fault.lasts_s)
            finally:
                system.links[link].mend()
            return process, (process,) if process in workers else ()

        return one

    return {
        f"link to the {server} {what}": carry(server, act)
        for server in (BROKER, DATABASE)
        for what, act in acts.items()
    }
