"""Which worker selectors this worker knows, and so which broker queues it takes tasks from."""

import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path

from shared.admission.workers import WORKER_POOL, satisfies
from shared.private_files import replace_private_file

__all__ = ["KnownSelectors"]

_log = logging.getLogger(__name__)


class KnownSelectors:
    """The worker selectors that this worker satisfies: that of its worker pool, and those that schedulers announced.

    A file keeps the announced ones over restarts.
    """

    def __init__(self, path: Path, labels: Mapping[str, str]) -> None:
        self._path = path
        self._labels = labels
        self._lock = threading.Lock()
        own = {WORKER_POOL: labels[WORKER_POOL]} if WORKER_POOL in labels else {}
        known = [one for one in self._load() if one != own and satisfies(labels, one)]
        self._selectors: list[dict[str, str]] = [own, *known]

    def all(self) -> list[dict[str, str]]:
        """Return all known selectors."""
        return list(self._selectors)

    def learn(self, selector: dict[str, str]) -> bool:
        """Remember a selector if it is new and this worker satisfies it; return whether it was remembered."""
        with self._lock:
            if selector in self._selectors or not satisfies(self._labels, selector):
                return False
            self._selectors.append(selector)
            try:
                replace_private_file(self._path, json.dumps(self._selectors))
            except OSError as error:
                _log.warning("selectors.not_kept", extra={"path": str(self._path), "error": str(error)})
            return True

    def _load(self) -> list[dict[str, str]]:
        try:
            return list(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return []
        except ValueError as error:
            # Schedulers announce every selector again, so the only loss is a delay.
            _log.warning("selectors.unreadable", extra={"path": str(self._path), "error": str(error)})
            return []
