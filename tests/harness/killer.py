"""Kill random processes of a system and start them again."""

import random
from collections import Counter
from collections.abc import Sequence

from tests.harness.cluster import Deployment
from tests.harness.procs import DagwayProcess

__all__ = ["Killer"]


class Killer:
    """Kills one random process at a time and starts it again.

    ``kinds`` are the kinds of process to kill: ``gateways``, ``schedulers``, ``workers``.
    """

    def __init__(self, system: Deployment, dice: random.Random, kinds: Sequence[str]) -> None:
        self._system = system
        self._dice = dice
        self._kinds = kinds
        self.killed: Counter[str] = Counter()

    def strike(self) -> None:
        """Kill one process by SIGKILL, and start it again after its death."""
        kind = self._dice.choice(self._kinds)
        victim: DagwayProcess = self._dice.choice(getattr(self._system, kind))
        assert victim.running, f"{victim.args} ended by itself:\n{victim.output()[-3000:]}"
        victim.kill9()
        self.killed[kind] += 1
        victim.start()
