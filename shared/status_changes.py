"""The allowed changes of status, as data. ``docs/states.md`` is generated from them.

Any other change is a bug: ``Draft`` raises ``InvariantBroken``.
"""

from shared.status import NodeStatus as N
from shared.status import RunStatus as R

__all__ = ["NODE_CHANGES", "RUN_CHANGES"]

_RUN_ENDS = frozenset({R.SUCCEEDED, R.PARTIALLY_SUCCEEDED, R.FAILED, R.ABORTED, R.REJECTED})
_UNASKED_ENDS = frozenset({N.SUCCEEDED, N.PARTIALLY_SUCCEEDED, N.FAILED, N.ABORTED, N.SKIPPED})

RUN_CHANGES: dict[R, frozenset[R]] = {
    R.NOT_STARTED: frozenset({R.RUNNING}),
    R.QUEUED: frozenset({R.RUNNING, R.ABORTED}),
    R.RUNNING: _RUN_ENDS | {R.WAITING},
    # A waiting run that may continue is queued again, except a sub-run that was never queued.
    R.WAITING: frozenset({R.RUNNING, R.QUEUED, R.REJECTED, R.ABORTED}),
    # A run leaves a terminal status only by an explicit retry.
    **{end: frozenset({R.RUNNING, R.QUEUED}) for end in _RUN_ENDS},
}

NODE_CHANGES: dict[N, frozenset[N]] = {
    N.NOT_STARTED: frozenset({N.RUNNING}) | _UNASKED_ENDS,
    N.RUNNING: _UNASKED_ENDS | {N.WAITING, N.NOT_STARTED},
    # Back to running: a step whose sub-runs waited for approval, when they continue.
    N.WAITING: frozenset({N.SUCCEEDED, N.REJECTED, N.ABORTED, N.RUNNING, N.NOT_STARTED}),
    # Reset by a retry of the run.
    **{end: frozenset({N.NOT_STARTED}) for end in (*_UNASKED_ENDS, N.REJECTED)},
}
