"""Validates stored specs again after an upgrade or a downgrade.

The errors of a DAG are stored with it, so that a start can be refused without parsing its spec. After an upgrade,
stored errors may be obsolete, and new errors may be missing. During a rolling upgrade only the newest running version
validates, so that versions do not undo each other's results; after a downgrade that is the older version. Specs are
parsed outside of transactions.
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

_Validated = tuple[Version, str]
"""The result of validating a spec, and the spec's hash."""

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 30
_AT_ONCE = 100
_ALIVE = timedelta(seconds=30)
"""A scheduler counts as running if its last heartbeat is not older than this."""


class SpecRevalidation:
    """Validates the DAGs that another version validated last. ``Plans.version`` is the version of this scheduler.

    Runs in one thread of every scheduler.
    """

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor

    def run_once(self) -> int:
        """Validate some DAGs that another version validated last; return how many, 0 if none is left.

        Raises:
            StoreUnavailable: the database is unavailable; the next pass continues.
        """
        validated = self._others()
        if validated:
            self._transactor.decide(lambda batch: _save(batch, validated))
        return len(validated)

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop``; the body of a background thread."""
        while not stop.is_set():
            try:
                if self.run_once():
                    continue
            except StoreUnavailable as error:
                _log.warning("revalidation.waits", extra={"error": str(error)})
            stop.wait(_LOOK_EVERY_S)

    def _others(self) -> list[_Validated]:
        """Return this version's results for some DAGs; empty if a newer version is running."""
        mine = self._transactor.memory.plans.version
        with self._transactor.store.begin() as tx:
            rows = tx.dags.judged_by_others(mine, _AT_ONCE)
            alive = tx.services.scheduler_versions(self._transactor.clock() - _ALIVE) if rows else set()
        if any(_rank(version) > _rank(mine) for version in alive):
            return []
        return [
            (Version.of(row["file_name"], row["yaml"], load(row["yaml"], file_name=row["file_name"])), row["spec_hash"])
            for row in rows
        ]


def _save(batch: Batch, validated: Sequence[_Validated]) -> None:
    definitions = Definitions(batch.tx, batch.plans, batch.now)
    for version, text_hash in validated:
        if definitions.validate_again(version, text_hash):
            batch.after.dags.add(version.file_name)
            _log.warning("revalidation.changed", extra={"dag": version.file_name, "errors": version.errors})


def _rank(version: str) -> tuple[list[int], str]:
    """Return a sort key that orders any two versions."""
    return [int(number) for number in re.findall(r"\d+", version)], version
