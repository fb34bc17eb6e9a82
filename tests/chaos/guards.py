"""Take guards out of Dagway, to show that the judge finds what they prevent.

A guard is removed in a process by a ``sitecustomize`` module, which Python imports before everything else.
"""

from pathlib import Path

__all__ = ["GUARDS", "without"]

GUARDS = {
    # A worker takes each token once: here it forgets each.
    "token once": """
from services.worker.attempt.registry import AttemptRegistry
begin = AttemptRegistry.begin
def forgetful(self, token):
    with self._changed:
        self._running.pop(token, None)
        self._done.pop(token, None)
    return begin(self, token)
AttemptRegistry.begin = forgetful
""",
    # A worker in doubt asks before it begins: here it has no doubt.
    "grant": """
import services.worker.attempt.freshness
services.worker.attempt.freshness.doubt_about = lambda *args, **facts: None
""",
    # A command has one outcome: here each is recorded under an id that no repetition has.
    "inbox": """
import itertools
from services.scheduler.deciding.batch import Batch
number, add = itertools.count(), Batch.add_outcomes
def elsewhere(self, outcomes):
    add(self, [{**one, "command_id": f"{one['command_id']}#{next(number)}"} for one in outcomes])
Batch.add_outcomes = elsewhere
""",
    # A scheduler judges only what it could hear: here it takes silence for loss.
    "heard": """
from services.scheduler.liveness.hearing import Hearing
from services.scheduler.liveness.leases import Leases
from services.scheduler.liveness.marks import Marks
import shared.clock
Hearing.until = property(lambda self: shared.clock.utc_now(), lambda self, value: None)
Leases._is_silent = lambda self, worker_id: True
Marks.recorded_until = lambda self, rows: shared.clock.utc_now()
""",
}


def without(guards: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Return the environment of processes in which these guards are removed. ``folder`` is created for it."""
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text("\n".join(GUARDS[guard] for guard in guards))
    return {"PYTHONPATH": str(folder)}
