"""Up to which time all reports of workers are recorded, by whichever scheduler received them.

Reports wait on one broker queue and are shared by all schedulers, so "my part is recorded" proves nothing about the
part of a scheduler that is frozen. Two facts together prove it:

1. A marker that was sent into the reports' queue at time *t* has been delivered to some scheduler, and the answer came
   at time *r*. So every report that the broker stored before *t* was delivered to some scheduler before *r*.
2. Every scheduler has recorded all reports that were delivered to it before *r*. Each writes such a time, its *mark*,
   with its heartbeat into the table ``services``. Or its session at the broker is over: then the broker delivers its
   unrecorded reports again, ahead of all others, and a marker that is sent afterwards covers them.

A scheduler writes its row before it consumes reports. So whoever reads the rows after a marker's answer knows everyone
who may hold an earlier report.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.scheduler.deciding.post_commit import NEVER

__all__ = ["AnsweredMarker", "Gone", "Peer", "peer_of", "recorded_until"]

_RETURN = timedelta(seconds=2)
"""Within this time after a session's end, the broker has put its messages back."""
_ORDER = timedelta(seconds=0.5)
"""How far the broker may deviate from the order in which it passes messages to the queues of one connection."""


@dataclass(frozen=True, slots=True)
class AnsweredMarker:
    """A marker in the reports' queue: when it was sent, and when the answer came that it was delivered."""

    sent_at: datetime
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class Gone:
    """A scheduler without a session at the broker: when it was first and last seen to have none."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Peer:
    """How far a scheduler, this one or another, has recorded its reports.

    ``recorded_until``: it has recorded every report that was delivered to it before this time. ``since``: the start of
    its present session; all its earlier sessions had ended.
    """

    recorded_until: datetime
    since: datetime
    gone: Gone | None = None

    def vouches(self, marker: AnsweredMarker) -> bool:
        """Return whether no report that was sent before the marker can still lie unrecorded with this scheduler."""
        gone = self.gone
        if gone is not None and gone.first + _RETURN <= marker.sent_at and marker.answered_at <= gone.last:
            return True
        return self.since + _RETURN <= marker.sent_at and marker.answered_at + _ORDER <= self.recorded_until


def recorded_until(answered: Iterable[AnsweredMarker], peers: Sequence[Peer]) -> datetime:
    """Return the newest time that is proven: all reports sent before it are recorded. ``NEVER`` if there is none."""
    return max((one.sent_at for one in answered if all(peer.vouches(one) for peer in peers)), default=NEVER)


def peer_of(row: Mapping[str, Any], gone: Gone | None) -> Peer:
    """Return what a row of the table ``services`` says; ``gone`` is what the broker says. A row may say nothing."""
    return Peer(row["reports_until"] or NEVER, row["session_since"] or NEVER, gone)
