"""A run and its steps as lines of text."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from services.cli.output.tables import width
from services.cli.output.times import duration, seconds_between, short_time

__all__ = ["MARKS", "failed_steps", "nodes_of", "run_lines"]

MARKS = {
    "succeeded": "✓",
    "partially_succeeded": "✓",
    "failed": "✗",
    "rejected": "✗",
    "aborted": "■",
    "skipped": "-",
    "running": "▶",
    "waiting": "?",
    "not_started": "·",
}
_BEFORE_STEPS = ("onInit",)
_AFTER_STEPS = ("onWait", "onSuccess", "onFailure", "onCancel", "onExit")
_ENDED_BADLY = frozenset({"failed", "rejected"})
_BAR = 16
Paint = Callable[[str, str], str]
"""Returns a text in the colour of a status."""


def nodes_of(run: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the nodes of a run: its steps, with the handlers that it has before and after them."""
    yield from (run[name] for name in _BEFORE_STEPS if run.get(name))
    yield from run["nodes"]
    yield from (run[name] for name in _AFTER_STEPS if run.get(name))


def failed_steps(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the nodes that failed."""
    return [node for node in nodes_of(run) if node["statusLabel"] in _ENDED_BADLY]


def run_lines(run: Mapping[str, Any], now: datetime, paint: Paint = lambda text, _status: text) -> Iterator[str]:
    """Yield a line about the run, then one for each step."""
    took = duration(seconds_between(run["startedAt"], run["finishedAt"], now))
    status = run["statusLabel"]
    facts = [paint(status, status), *([f"began {short_time(run['startedAt'])}"] if took else [])]
    if took:
        facts.append(f"{'took' if run['finishedAt'] else 'so far'} {took}")
    yield f"{run['name']}  run {run['dagRunId']}  {'  '.join(facts)}"
    if run.get("scheduleTime"):
        yield f"  scheduled for: {short_time(run['scheduleTime'])}"
    if run.get("params"):
        yield f"  params: {run['params']}"
    if run.get("waitingFor"):
        yield f"  waits for: {run['waitingFor']}"
    nodes = list(nodes_of(run))
    if run.get("error") and all(node.get("error") != run["error"] for node in nodes):
        # No step shows it, for instance a secret that was missing before the first step.
        yield f"  error: {str(run['error']).strip()}"
    names = max((width(node["step"]["name"]) for node in nodes), default=0)
    for node in nodes:
        yield f"  {_step_line(node, now, names, paint)}"


def _step_line(node: Mapping[str, Any], now: datetime, names: int, paint: Paint) -> str:
    """Return the line of a step. ``names`` is the width of the longest name."""
    status = node["statusLabel"]
    name = node["step"]["name"]
    took = duration(seconds_between(node["startedAt"], node["finishedAt"], now)) if _began(node) else ""
    pad = " " * (names - width(name))
    line = f"{paint(MARKS.get(status, ' '), status)} {name}{pad}  {paint(f'{status:<19}', status)} {took:>6}"
    return f"{line}  {_detail(node)}".rstrip()


def _began(node: Mapping[str, Any]) -> bool:
    return node["statusLabel"] not in ("not_started", "skipped")


def _detail(node: Mapping[str, Any]) -> str:
    """Return what is most worth knowing about a step: its error, what it waits for, or its progress."""
    if node["statusLabel"] == "running" and node.get("progress"):
        progress = node["progress"]
        full = round(_BAR * min(max(progress["percent"], 0), 100) / 100)
        return f"[{'█' * full}{'░' * (_BAR - full)}] {progress['percent']:.0f}% {progress['text']}".rstrip()
    tries = node.get("retryCount") or 0
    retried = f"after {tries} {'retry' if tries == 1 else 'retries'}" if tries else ""
    if node["statusLabel"] in ("succeeded", "running"):
        return retried
    text = str(node.get("error") or node.get("waitingFor") or "").strip().split("\n", 1)[0]
    return ": ".join(filter(None, (retried, text)))
