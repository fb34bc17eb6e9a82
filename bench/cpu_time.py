"""Processor time that processes took: what a request costs each of them, whoever else uses the machine."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["CpuTime", "family"]

_PROC = Path("/proc")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> set[int]:
    """Return a process and all that it started and that still runs."""
    found, everybody = {pid}, [int(each.name) for each in _PROC.iterdir() if each.name.isdigit()]
    parents = {each: _numbers(each)[0] for each in everybody}
    while more := {child for child, parent in parents.items() if parent in found and child not in found}:
        found |= more
    return found


class CpuTime:
    """Seconds of processor time (user and system) that each of some named process families took."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = roots
        self.took_s: dict[str, float] = dict.fromkeys(roots, 0.0)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Add what the families take while the block runs."""
        before = {name: self._total(pid) for name, pid in self._roots.items()}
        yield
        for name, pid in self._roots.items():
            self.took_s[name] += self._total(pid) - before[name]

    def line(self, count: float) -> str:
        """Return milliseconds per one of ``count``, of each family and of all."""
        each = {name: seconds / count * 1000 for name, seconds in self.took_s.items()}
        parts = ", ".join(f"{name} {milliseconds:.2f}" for name, milliseconds in each.items())
        return f"{sum(each.values()):.2f} ms of processor each: {parts}"

    @staticmethod
    def _total(pid: int) -> float:
        """Return the time of a family; that of children who ended meanwhile stays with who waited for them."""
        return sum(sum(_numbers(each)[1:]) for each in family(pid)) * _TICK_S


def _numbers(pid: int) -> tuple[int, int, int, int, int]:
    """Return ``(parent, user, system, children's user, children's system)``, zeros for who is gone."""
    try:
        # The name may hold spaces and brackets: the fields begin behind its last bracket.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return (0, 0, 0, 0, 0)
    return (int(fields[1]), *(int(field) for field in fields[11:15]))  # type: ignore[return-value]
