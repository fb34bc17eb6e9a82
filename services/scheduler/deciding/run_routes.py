"""Which scheduler gets the reports about a run, as far as decisions need to know."""

from shared.ids import new_run_id

__all__ = ["RunRoutes"]


class RunRoutes:
    """All reports come by the common broker queue of all schedulers; ``EventRoutes`` has shards (ADR 30)."""

    def new_run_key(self) -> str:
        """Return the key of a new run, if possible of one whose reports come to this scheduler (ADR 40)."""
        return new_run_id()

    def reports_to(self, run_key: str) -> str:
        """Return the name of the broker queue for the reports about a run; empty for the common one."""
        del run_key
        return ""
