"""How long one session may keep Postgres, and others, waiting."""

from dataclasses import dataclass

__all__ = ["LOCK_TIMEOUT_S", "NO_LIMITS", "TimeLimits"]

LOCK_TIMEOUT_S = 10
"""How long a statement waits for another transaction's lock, if no limit is set."""
_ANSWER_GRACE_S = 3
"""If Postgres does not end a statement this long after its limit, the server itself hangs."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long Postgres lets a session of ours take, in seconds.

    ``None`` is no limit, even if the database or its user has one. ``statement_s``: one statement. ``lock_s``: the wait
    for another transaction's lock. ``idle_s``: an open transaction without a statement. So a process that was frozen in
    a transaction loses its locks.
    """

    statement_s: float | None = None
    lock_s: float = LOCK_TIMEOUT_S
    idle_s: float | None = None

    @property
    def options(self) -> list[str]:
        """The options of a connection that set these limits."""
        return [f"-c {name}={value}" for name, value in self._settings.items()]

    @property
    def of_a_transaction(self) -> str:
        """The SQL that sets these limits for the transaction in which it is run."""
        return "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in self._settings.items())

    @property
    def _settings(self) -> dict[str, str]:
        named = {
            "statement_timeout": self.statement_s,
            "lock_timeout": self.lock_s,
            "idle_in_transaction_session_timeout": self.idle_s,
        }
        # Without one of ours, that of the database or of its user would hold: a check of a long history would fail.
        return {name: f"{round((value or 0) * 1000)}ms" for name, value in named.items()}

    @property
    def answer_s(self) -> float | None:
        """How long a statement waits for its answer: longer than Postgres itself would let it take."""
        return None if self.statement_s is None else self.statement_s + _ANSWER_GRACE_S


NO_LIMITS = TimeLimits()
