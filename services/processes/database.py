"""The settings of database sessions."""

from shared.settings.config import Config
from shared.store.time_limits import TimeLimits

__all__ = ["time_limits"]


def time_limits(config: Config) -> TimeLimits:
    """Return the time limits of this process's database sessions."""
    return TimeLimits(config.database_statement_s, config.database_lock_s, config.database_idle_s)
