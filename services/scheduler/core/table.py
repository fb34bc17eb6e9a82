"""Every legal change of status, as data. ``docs/states.md`` is generated from it.

A change that is not listed here is a bug, and ``Draft`` refuses to make it.
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
    # A run that may go on queues again, unless another one called it and no limit holds for it.
    R.WAITING: frozenset({R.RUNNING, R.QUEUED, R.REJECTED, R.ABORTED}),
    # A terminal run is left by an explicit retry only.
    **{end: frozenset({R.RUNNING, R.QUEUED}) for end in _RUN_ENDS},
}

NODE_CHANGES: dict[N, frozenset[N]] = {
    N.NOT_STARTED: frozenset({N.RUNNING}) | _UNASKED_ENDS,
    N.RUNNING: _UNASKED_ENDS | {N.WAITING, N.NOT_STARTED},
    # Back to running: a step that waited with runs it called, when they go on.
    N.WAITING: frozenset({N.SUCCEEDED, N.REJECTED, N.ABORTED, N.RUNNING, N.NOT_STARTED}),
    # Reset by a retry of the run.
    **{end: frozenset({N.NOT_STARTED}) for end in (*_UNASKED_ENDS, N.REJECTED)},
}
