"""What is known of one difference from Dagu."""

from dataclasses import dataclass

__all__ = ["Difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. ``name`` is what workflows of the comparison refer to; empty if none of them shows it.

    ``parts``: the parts of a result that it may change.
    """

    area: str
    dagu: str
    dagway: str
    why: str
    name: str = ""
    parts: frozenset[str] = frozenset({"refused", "status", "nodes", "logs", "outputs"})
