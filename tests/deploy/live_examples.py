"""Every example of ``examples/`` on the compose system, where it must end as its ``# expect`` says."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness.eventually import eventually

__all__ = ["run_examples"]

_EXAMPLES = Path(__file__).parents[2] / "examples"
_TIMES = 3
"""Which worker runs a sub-run, or a step after a retry, is chance. All runs at once keep both workers busy."""
_LONGEST_S = 600.0
_EXPECT = re.compile(r"^# expect: (\w+)$", re.MULTILINE)
_ORDERS = "data:,order,region,amount%0A1,eu,3%0A2,us,4%0A3,eu,5%0A"
"""A file for the example that downloads one: workers of the compose system reach no server on this machine."""
_PARAMS = {"fetch-and-check": f"URL={_ORDERS}"}
_GOES_ON = {"not_started", "queued", "running"}


def run_examples(ask: Callable[..., Any]) -> int:
    """Start every example several times, check how each run ends, and return how many there were.

    ``ask`` is the one of the system.
    """
    expected = {path.stem: _EXPECT.findall(path.read_text()) for path in sorted(_EXAMPLES.glob("*.yaml"))}
    runs = [(name, _start(ask, name)) for _ in range(_TIMES) for name in expected]
    wrong = []
    for name, run_id in runs:
        details = eventually(lambda name=name, run_id=run_id: _ended(ask, name, run_id), timeout_s=_LONGEST_S)  # type: ignore[misc]
        if [details["statusLabel"]] != expected[name]:
            errors = {node["step"]["name"]: node["error"] for node in details["nodes"] if node.get("error")}
            wrong.append(f"{name} is {details['statusLabel']}: {errors}")
    if wrong:
        raise SystemExit("\n".join(wrong))
    return len(runs)


def _start(ask: Callable[..., Any], name: str) -> str:
    """Start a run under an id that the system chooses, since an example forbids to choose one."""
    body = {"params": _PARAMS[name]} if name in _PARAMS else {}

    def started() -> str:
        answer = ask("POST", f"/dags/{name}/start", body)
        assert answer is not None, f"{name} is not loaded yet"
        return str(answer["dagRunId"])

    return eventually(started, every_s=0.5)


def _ended(ask: Callable[..., Any], name: str, run_id: str) -> Any:
    found = ask("GET", f"/dag-runs/{name}/{run_id}")
    assert found is not None, run_id
    details = found["dagRunDetails"]
    assert details["statusLabel"] not in _GOES_ON, (name, run_id, details["statusLabel"])
    return details
