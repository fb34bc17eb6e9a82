"""Carries out the faults of a plan, one thread for each lane, and records each with its time."""

import json
import math
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tests.chaos.kinds import LINK_LANE, SERVER_LANES
from tests.chaos.model import Fault, Plan, Strike
from tests.chaos.process_faults import Carry, EndedByItself

__all__ = ["Nemesis"]

_SCHEDULER = "scheduler"


class Nemesis:
    """Carries out faults until they are done or ``stop`` is called. ``strikes`` is complete after ``stop``.

    ``log`` is a file that gets one JSON object for each fault.
    """

    def __init__(self, plan: Plan, carries: dict[str, Carry], log: Path, over: threading.Event) -> None:
        self._carries = carries
        self._log = log
        self._over = over
        self._lock = threading.Lock()
        self._began = 0.0
        lanes = sorted({fault.lane for fault in plan.faults})
        self._threads = [
            threading.Thread(
                target=self._run, args=([one for one in plan.faults if one.lane == lane],), name=f"lane {lane}"
            )
            for lane in lanes
        ]
        self._outages: list[tuple[float, float]] = []
        self.strikes: list[Strike] = []
        self.ended_by_themselves: list[str] = []

    def start(self) -> None:
        """Begin with the faults."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the fault of each lane, and carry out no more."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def outage_s(self, since: float) -> float:
        """Return for how long there was a fault of the broker, the database or a scheduler since then, in seconds.

        A fault of a link counts while it lasts, and afterwards if it was a scheduler's.
        """
        now = time.time()
        with self._lock:
            outages = sorted(self._outages)
        total, until = 0.0, since
        for began, ended in outages:
            total += max(0.0, min(ended, now) - max(began, until))
            until = max(until, min(ended, now))
        return total

    def _run(self, faults: Sequence[Fault]) -> None:
        for fault in faults:
            if self._over.wait(max(0.0, self._began + fault.at_s - time.monotonic())):
                return
            stops = fault.lane in SERVER_LANES or _SCHEDULER in fault.kind
            began = time.time()
            if stops or fault.lane == LINK_LANE:
                with self._lock:
                    self._outages.append((began, math.inf))
            strike = self._strike(fault, began)
            with self._lock, suppress(ValueError):
                self._outages.remove((began, math.inf))
                if stops or strike.victim.startswith(_SCHEDULER):
                    self._outages.append((began, strike.ended))

    def _strike(self, fault: Fault, began: float) -> Strike:
        victim, error = "", ""
        touches: tuple[str, ...] = ()
        try:
            victim, touches = self._carries[fault.kind](fault)
        except EndedByItself as ended:
            error = str(ended)
            with self._lock:
                self.ended_by_themselves.append(error)
        except Exception as failure:  # noqa: BLE001 - another fault may be in the way; the report says so
            error = f"{type(failure).__name__}: {failure}"
        strike = Strike(fault.kind, victim, began, time.time(), touches, error)
        with self._lock:
            self.strikes.append(strike)
            with self._log.open("a") as log:
                log.write(json.dumps(asdict(strike)) + "\n")
        return strike
