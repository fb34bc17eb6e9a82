"""Judge stored specs again that another version of the scheduler judged.

What is wrong with a dag is stored with it, so that nothing need be parsed to refuse its start. After an
upgrade that may be out of date in both directions. Of the versions that live side by side during a rolling
upgrade the newest one judges, so that they do not undo each other's work; after the way back it is
the older one. Texts are parsed outside of any transaction.
"""

import logging
import re
import threading
from collections.abc import Sequence
from datetime import timedelta

from services.scheduler.commands.definitions import Definitions, Version
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.transactor import Transactor
from shared.errors import StoreUnavailable
from shared.language.load import load

__all__ = ["SpecRevalidation"]

_Judged = tuple[Version, str]
"""What was found in a text, and the hash the text is stored under."""

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 30
_AT_ONCE = 100
_ALIVE = timedelta(seconds=30)
"""A scheduler that gave no sign of life for so long counts as gone."""


class SpecRevalidation:
    """One thread's work, of every scheduler. Its version is that of the transactor's plans."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor

    def run_once(self) -> int:
        """Judge again some dags that another version judged; return how many, 0 when none is left.

        Raises:
            StoreUnavailable: the database is away; the next look goes on.
        """
        judged = self._others()
        if judged:
            self._transactor.decide(lambda batch: _save(batch, judged))
        return len(judged)

    def run(self, stop: threading.Event) -> None:
        """Look until ``stop``; the body of a background thread."""
        while not stop.is_set():
            try:
                if self.run_once():
                    continue
            except StoreUnavailable as error:
                _log.warning("judging.waits", extra={"error": str(error)})
            stop.wait(_LOOK_EVERY_S)

    def _others(self) -> list[_Judged]:
        """Return some dags that another version judged, judged by this one; none if a newer one is there."""
        mine = self._transactor.plans.version
        with self._transactor.store.begin() as tx:
            rows = tx.dags.judged_by_others(mine, _AT_ONCE)
            alive = tx.services.scheduler_versions(self._transactor.clock() - _ALIVE) if rows else set()
        if any(_rank(version) > _rank(mine) for version in alive):
            return []
        return [
            (Version.of(row["file_name"], row["yaml"], load(row["yaml"], file_name=row["file_name"])), row["spec_hash"])
            for row in rows
        ]


def _save(batch: Batch, judged: Sequence[_Judged]) -> None:
    definitions = Definitions(batch.tx, batch.plans, batch.now)
    for version, text_hash in judged:
        if definitions.judge_again(version, text_hash):
            batch.after.schedules = True
            _log.warning("judging.changed", extra={"dag": version.file_name, "errors": version.errors})


def _rank(version: str) -> tuple[list[int], str]:
    """Return a key that puts versions in order, any two of them."""
    return [int(number) for number in re.findall(r"\d+", version)], version
