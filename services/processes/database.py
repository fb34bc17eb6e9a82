"""The time limits of database sessions."""

from shared.settings.config import Config
from shared.store.time_limits import TimeLimits

__all__ = ["time_limits"]

_LOCK_S = 2
_IDLE_S = 10


def time_limits(config: Config) -> TimeLimits:
    """Return the time limits of this process's database sessions."""
    return TimeLimits(config.database_statement_s, _LOCK_S, _IDLE_S)
