"""Lists the broker's dead letters in the database, and carries out what administrators decided about them (ADR 64).

Of several schedulers only one does it (``Turn``). Two at once do no harm: at worst a letter is returned twice, and
whoever handles it recognises a message that it has recorded.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from services.scheduler.commands.audited import fit_text
from services.scheduler.loops.turn import Turn
from shared.contracts.codec import decode, type_of
from shared.errors import BrokerUnavailable, DecodeFailed, PublishUnconfirmed, StoreUnavailable
from shared.store.writes.transaction import Store
from shared.transport.base import DEAD_LETTERS, DeadLetter, DeadLetterDecision, Transport
from shared.workspaces import plain_name

__all__ = ["DeadLetterLoop"]

_log = logging.getLogger(__name__)

_MOST_LISTED = 501
"""How many letters are listed: one more than a page shows, so that it knows that there are more."""
_EVERY_S = 3.0
_LIST_AGAIN_S = 60.0
"""When letters are listed again although their number is the same: one may have taken the place of another."""
_ASK_AGAIN_S = 60.0
"""How often a scheduler asks the database whether it is its turn, while another one has it or there are no letters."""
_TRIES = 5
"""In how many passes a letter with a decision may be missing before it counts as gone: another reader may hold it."""
_NO_QUEUE = "its broker queue does not exist any more"


class DeadLetterLoop:
    """Runs in one thread of every scheduler."""

    def __init__(self, store: Store, transport: Transport, clock: Callable[[], datetime], turn: Turn) -> None:
        self._store, self._transport, self._clock, self._turn = store, transport, clock, turn
        self._listed: int | None = None
        """How many letters there were before they were last listed; ``None``: list them again."""
        self._listed_at_s = float("-inf")
        self._mine = False
        """Whether it was this scheduler's turn when the database was last asked."""
        self._asked_at_s = float("-inf")
        self._seen: int | None = None
        """How many letters there were at the last look."""
        self._missed: dict[str, int] = {}
        """In how many passes in a row each letter with a decision was missing."""

    def run_once(self) -> bool:
        """List the letters if it is this scheduler's turn, and they may have changed; return whether it did.

        Raises:
            StoreUnavailable, BrokerUnavailable, PublishUnconfirmed: decisions may have been carried out, but the
                table not rewritten; the next call does both again.
        """
        asked_lately = time.monotonic() < self._asked_at_s + _ASK_AGAIN_S
        if asked_lately and not self._mine:
            return False
        waiting = self._transport.waiting(DEAD_LETTERS)
        if asked_lately and waiting == self._listed == 0:
            return False
        with self._store.begin() as tx:
            self._mine = self._turn.is_mine(tx)
            decisions = tx.dead_letters.decided() if self._mine else {}
        self._asked_at_s = time.monotonic()
        if not self._mine:
            self._listed = None
            return False
        # Listing holds the letters unacknowledged for a moment. Others who work on them should find them all.
        steady, self._seen = waiting == self._seen, waiting
        stale = waiting > 0 and time.monotonic() - self._listed_at_s >= _LIST_AGAIN_S
        if not (decisions or stale or (steady and waiting != self._listed)):
            return False
        self._listed = None
        settled = self._list(decisions)
        if not settled and not self._missed:
            self._listed = waiting
            self._listed_at_s = time.monotonic()
        return True

    def _list(self, decisions: dict[str, str]) -> set[str]:
        """Carry out the decisions, rewrite the table, and return which decisions were carried out."""
        now = self._clock()
        rows: dict[str, dict[str, Any]] = {}
        tried: dict[str, dict[str, Any]] = {}

        def decide(letter: DeadLetter) -> DeadLetterDecision:
            key = letter.fingerprint
            row = _row(letter, now, len(rows) + len(tried))
            # Taken out: a returned letter that comes back during the call is not returned a second time.
            decision = DeadLetterDecision(decisions.pop(key, ""))
            if decision is DeadLetterDecision.KEEP:
                rows.setdefault(key, row)
            else:
                tried[key] = row
            return decision

        stuck = self._transport.settle_dead_letters(decide, _MOST_LISTED)
        for key in stuck:
            rows.setdefault(key, tried[key])
        settled = tried.keys() - stuck
        missed = {key: self._missed.get(key, 0) + 1 for key in decisions}
        self._missed = {key: times for key, times in missed.items() if times < _TRIES}
        failures = dict.fromkeys(stuck, _NO_QUEUE)
        with self._store.begin() as tx:
            tx.dead_letters.replace(list(rows.values()), settled=settled, unseen=self._missed, failures=failures)
        return settled

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop``; the body of a background thread."""
        while not stop.wait(_EVERY_S):
            try:
                self.run_once()
            except (StoreUnavailable, BrokerUnavailable, PublishUnconfirmed) as error:
                _log.warning("dead_letters.waits", extra={"error": str(error)})
            except Exception:  # noqa: BLE001 - letters that cannot be listed must not end a scheduler that works
                _log.exception("dead_letters.failed")


def _row(letter: DeadLetter, now: datetime, place: int) -> dict[str, Any]:
    try:
        message_type = type_of(letter.body)
    except DecodeFailed:
        message_type = ""
    return {
        "id": letter.fingerprint,
        "place": place,
        "message_id": fit_text(letter.id, 255),
        "queue": fit_text(letter.queue, 255),
        "reason": fit_text(letter.reason, 2000),
        "message_type": fit_text(message_type, 40),
        "about": fit_text(_about(letter.body), 500),
        "size": len(letter.body),
        "first_seen_at": now,
        "decision": DeadLetterDecision.KEEP.value,
        "decided_by": "",
        "failure": "",
    }


def _about(body: bytes) -> str:
    """Return the run that a message is about: DAG and run id, or the run's key; empty if it names none."""
    try:
        message = decode(body).body
    except DecodeFailed:
        return ""
    name, run_id = getattr(message, "dag_name", None), getattr(message, "dag_run_id", None)
    if isinstance(name, str) and isinstance(run_id, str):
        return f"{plain_name(name)}/{run_id}"
    return str(getattr(message, "run_key", ""))
