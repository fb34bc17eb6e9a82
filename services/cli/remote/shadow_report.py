"""What a workflow does on another server and would do here: its plan and its scheduled times. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

from shared.language.cron import fires_between

__all__ = ["DagComparison", "ScheduledTimes", "compare_plans", "compare_times"]

_EARLY, _LATE = timedelta(seconds=5), timedelta(seconds=90)
"""How far from its scheduled time a run may begin. Dagu looks once a minute for what is due."""
_STEP_FIELDS = ("depends", "call", "commands", "script", "dir", "output", "timeoutSec")


@dataclass(frozen=True, slots=True)
class ScheduledTimes:
    """The scheduled times of a period, and the runs in it.

    - ``matched``: how many times have a run there.
    - ``without_run``: times at which a run would begin here, but none began there.
    - ``other_runs``: ids of runs there that began at no scheduled time: by hand, by a retry, or by another reading of
      the schedule.
    """

    matched: int = 0
    without_run: tuple[str, ...] = ()
    other_runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DagComparison:
    """One workflow. ``errors``: why it would not run here. ``differences``: what would be otherwise."""

    name: str
    suspended: bool
    errors: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    times: ScheduledTimes = field(default_factory=ScheduledTimes)

    @property
    def result(self) -> str:
        """``refused``, ``differs`` or ``same``. Only plans count: whether times fit depends on what people did."""
        return "refused" if self.errors else "differs" if self.differences else "same"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "result": self.result,
            "suspended": self.suspended,
            "errors": list(self.errors),
            "differences": list(self.differences),
            "scheduledTimes": {
                "matched": self.times.matched,
                "withoutRun": list(self.times.without_run),
                "otherRuns": list(self.times.other_runs),
            },
        }


def compare_plans(there: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the differences between two plans of one workflow, in the JSON of the API."""
    found = []
    if (one := _expressions(there)) != (other := _expressions(here)):
        found.append(f"schedule: {_shown(one)} there, {_shown(other)} here")
    steps_there, steps_here = _steps(there), _steps(here)
    if lacking := sorted(steps_there.keys() - steps_here.keys()):
        found.append(f"steps that are missing here: {', '.join(lacking)}")
    if extra := sorted(steps_here.keys() - steps_there.keys()):
        found.append(f"steps that are missing there: {', '.join(extra)}")
    for name in steps_there:
        if name in steps_here:
            found += _step_differences(name, steps_there[name], steps_here[name])
    return tuple(found)


def _expressions(dag: Mapping[str, Any]) -> list[str]:
    return sorted(str(each.get("expression", "")) for each in dag.get("schedule") or ())


def _steps(dag: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(step["name"]): step for step in dag.get("steps") or ()}


def _step_differences(name: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterable[str]:
    for key in _STEP_FIELDS:
        one, other = _comparable(key, there), _comparable(key, here)
        if one != other:
            yield f"step {name}: {key}: {_shown(one)} there, {_shown(other)} here"


def _comparable(key: str, step: Mapping[str, Any]) -> Any:
    value = step.get(key)
    if key == "depends":
        return sorted(value or ())
    if key == "commands":
        # Dagu shows an empty list of arguments, Dagway none.
        return [{name: part for name, part in command.items() if part} for command in value or ()]
    return value or ""


def _shown(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "none"
    return str(value)[:80] or "none"


def compare_times(
    expressions: Sequence[str], runs: Sequence[Mapping[str, Any]], *, after: datetime, until: datetime, tz: tzinfo
) -> ScheduledTimes:
    """Match the scheduled times ``after < t <= until`` with the runs that began there, each run with one time."""
    due = sorted({at for each in expressions for at in fires_between(each, after, until, tz)})
    began = sorted(
        (at, str(run.get("dagRunId", ""))) for run in runs if (at := _began(run)) is not None and after < at <= until
    )
    matched, without = 0, []
    for time in due:
        match = next((each for each in began if time - _EARLY <= each[0] <= time + _LATE), None)
        if match is not None:
            began.remove(match)
            matched += 1
        elif time + _LATE <= until:  # else its run may be about to begin
            without.append(time.isoformat())
    return ScheduledTimes(matched, tuple(without), tuple(run_id for _, run_id in began))


def _began(run: Mapping[str, Any]) -> datetime | None:
    """Return when a run was created as far as the API says it: queued, or else started."""
    for key in ("queuedAt", "startedAt"):
        text = run.get(key)
        if isinstance(text, str) and text not in ("", "-"):
            try:
                at = datetime.fromisoformat(text)
            except ValueError:
                continue
            if at.tzinfo is not None:
                return at
    return None
