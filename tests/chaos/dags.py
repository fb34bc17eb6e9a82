"""Random DAGs whose steps keep a ledger: each execution of a step appends to a file of its run when it begins and ends.

The ledger is what really happened, whatever the database says.
"""

import random
from pathlib import Path

from tests.chaos.model import DagPlan, StepPlan

__all__ = ["QUEUES", "SHAPES", "make_dag"]

QUEUES = {"chaos-narrow": 2, "chaos-wide": 8}
SHAPES = ("chain", "graph", "sub", "fan-out", "approval", "fails-once", "fails-always", "lock", "handlers", "cron")
_LONGEST_S = 1.5
_RETRY = "{limit: 50, intervalSec: 0}"


def make_dag(name: str, shape: str, dice: random.Random, ledger: Path) -> DagPlan:
    """Return a DAG of this shape, whose ledger is in the folder ``ledger``."""
    if shape == "sub":
        return _caller(name, dice, ledger, "")
    if shape == "fan-out":
        return _caller(name, dice, ledger, "    parallel: {items: [a, b, c], maxConcurrent: 2}\n")
    if shape == "approval":
        return _approval(name, dice, ledger)
    steps = [_step(f"s{number}", dice) for number in range(dice.randint(2, 4))]
    head, extras = "", {"lock": f"    lock: chaos-{dice.randint(1, 2)}\n"} if shape == "lock" else {}
    if shape == "graph":
        head = f"type: graph\nplacement: {dice.choice(['spread', 'stick'])}\n"
    elif shape == "fails-once":
        steps[0] = StepPlan("s0", retried=False, fails="once")
    elif shape == "fails-always":
        steps[-1] = StepPlan(steps[-1].name, retried=False, fails="always")
    elif shape == "handlers":
        head = "handlerOn:\n  success: {command: 'true'}\n  failure: {command: 'true'}\n  exit: {command: 'true'}\n"
    elif shape == "cron":
        head = "schedule: '* * * * *'\n"
    texts = []
    for number, step in enumerate(steps):
        # In a graph a step waits for one of the earlier steps, or for none.
        before = dice.choice(["", *[one.name for one in steps[:number]]]) if shape == "graph" else ""
        lines = (f"    depends: {before}\n" if before else "") + extras.get("lock", "")
        texts.append(_text(step, dice, ledger, lines))
    spec = f"{head}steps:\n{''.join(texts)}"
    return DagPlan(name, spec, {name: tuple(steps)}, cron=shape == "cron")


def _caller(name: str, dice: random.Random, ledger: Path, parallel: str) -> DagPlan:
    first, last, inner = _step("before", dice), _step("after", dice), _step("inner", dice)
    # The root run's id makes the ids of sub-runs differ between root runs.
    params = '{ROOT: "${DAG_RUN_ID}", ITEM: "${ITEM}"}' if parallel else '{ROOT: "${DAG_RUN_ID}"}'
    call = f"  - name: call\n    call: {name}-sub\n{parallel}    params: {params}\n"
    inside = f"---\nname: {name}-sub\nparams: [{{ROOT: ''}}, {{ITEM: ''}}]\nsteps:\n{_text(inner, dice, ledger)}"
    spec = f"steps:\n{_text(first, dice, ledger)}{call}{_text(last, dice, ledger)}{inside}"
    return DagPlan(name, spec, {name: (first, last), f"{name}-sub": (inner,)})


def _approval(name: str, dice: random.Random, ledger: Path) -> DagPlan:
    before, after = _step("before", dice), _step("after", dice)
    ask = "  - name: ok\n    type: hitl\n    config: {prompt: 'Go on?'}\n"
    spec = f"steps:\n{_text(before, dice, ledger)}{ask}{_text(after, dice, ledger)}"
    return DagPlan(name, spec, {name: (before, after)}, asks=True)


def _step(name: str, dice: random.Random) -> StepPlan:
    retried = dice.random() < 0.5
    return StepPlan(name, retried, "once" if retried and dice.random() < 0.25 else "")


def _text(step: StepPlan, dice: random.Random, ledger: Path, lines: str = "") -> str:
    file = f"{ledger}/$DAG_NAME.$DAG_RUN_ID"
    ending = {
        "": f"echo end {step.name} $$ >> {file}",
        "once": f'test "$(grep -c "^begin {step.name} " {file})" -ge 2 && echo end {step.name} $$ >> {file}',
        "always": "exit 3",
    }[step.fails]
    # Most steps are short, so that many runs fit; some last long enough to be hit by a fault.
    pause_s = round(_LONGEST_S * dice.random() ** 2, 2)
    policy = f"    retryPolicy: {_RETRY}\n" if step.retried else ""
    return (
        f"  - name: {step.name}\n{lines}{policy}    script: |\n"
        f"      echo begin {step.name} $$ >> {file}\n      sleep {pause_s}\n      {ending}\n"
    )
