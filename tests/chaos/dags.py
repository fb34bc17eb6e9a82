"""Random DAGs whose steps keep a ledger: each execution of a step appends to a file of its run when it begins and ends.

The ledger is what really happened, whatever the database says.
"""

import random
from pathlib import Path

from tests.chaos.model import DagPlan, StepPlan

__all__ = ["QUEUES", "SHAPES", "make_dag"]

QUEUES = {"chaos-narrow": 2, "chaos-wide": 8}
SHAPES = (
    *("chain", "graph", "sub", "fan-out", "approval", "fails-once", "fails-always", "lock", "handlers"),
    *("repeat", "shared-queue", "approval-below", "cron"),
)
_LONGEST_S = 1.5
_REPEATS = 3
_ASK = "  - {name: ok, type: hitl, config: {prompt: 'Go on?'}}\n"


def make_dag(name: str, shape: str, dice: random.Random, ledger: Path) -> DagPlan:
    """Return a DAG of this shape, whose ledger is in the folder ``ledger``."""
    if shape == "sub":
        return _caller(name, dice, ledger, "")
    if shape == "fan-out":
        return _caller(name, dice, ledger, "    parallel: {items: [a, b, c], maxConcurrent: 2}\n")
    if shape == "shared-queue":
        return _sharer(name, dice, ledger)
    if shape == "approval-below":
        return _caller(name, dice, ledger, "", below=_ASK)
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
    elif shape == "repeat":
        steps[0] = StepPlan("s0", retried=False, fails="", repeats=_REPEATS)
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


def _caller(name: str, dice: random.Random, ledger: Path, parallel: str, below: str = "") -> DagPlan:
    """Return a DAG with a step that calls another. ``below``: further steps of that one, which ask for an approval."""
    first, last, inner = _step("before", dice), _step("after", dice), _step("inner", dice)
    call = _call(f"{name}-sub", "${DAG_RUN_ID}", parallel)
    inside = _called(f"{name}-sub", f"steps:\n{_text(inner, dice, ledger)}{below}")
    spec = f"steps:\n{_text(first, dice, ledger)}{call}{_text(last, dice, ledger)}{inside}"
    return DagPlan(name, spec, {name: (first, last), f"{name}-sub": (inner,)}, asks=bool(below))


def _sharer(name: str, dice: random.Random, ledger: Path) -> DagPlan:
    """Return a DAG in a narrow queue that calls one in the same queue, by way of one in another queue."""
    first, last, inner = _step("before", dice), _step("after", dice), _step("inner", dice)
    queue = f"queue: {min(QUEUES, key=QUEUES.__getitem__)}\n"
    call = _call(f"{name}-middle", "${DAG_RUN_ID}")
    again = _call(f"{name}-sub", "${ROOT}", "    parallel: [a, b]\n")
    middle = _called(f"{name}-middle", f"steps:\n{again}")
    inside = _called(f"{name}-sub", f"{queue}steps:\n{_text(inner, dice, ledger)}")
    spec = f"{queue}steps:\n{_text(first, dice, ledger)}{call}{_text(last, dice, ledger)}{middle}{inside}"
    return DagPlan(name, spec, {name: (first, last), f"{name}-sub": (inner,)})


def _call(called: str, root: str, parallel: str = "") -> str:
    # The root run's id makes the ids of sub-runs differ between root runs.
    params = f'{{ROOT: "{root}"' + (', ITEM: "${ITEM}"}' if parallel else "}")
    return f"  - name: call\n    call: {called}\n{parallel}    params: {params}\n"


def _called(name: str, text: str) -> str:
    return f"---\nname: {name}\nparams: [{{ROOT: ''}}, {{ITEM: ''}}]\n{text}"


def _approval(name: str, dice: random.Random, ledger: Path) -> DagPlan:
    before, after = _step("before", dice), _step("after", dice)
    spec = f"steps:\n{_text(before, dice, ledger)}{_ASK}{_text(after, dice, ledger)}"
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
    # What fails for sure is tried again after a moment, the rest at once.
    policy = f"    retryPolicy: {{limit: 50, intervalSec: {1 if step.fails else 0}}}\n" if step.retried else ""
    if step.repeats > 1:
        policy += f"    repeatPolicy: {{repeat: while, condition: 'true', limit: {step.repeats}, intervalSec: 1}}\n"
    return (
        f"  - name: {step.name}\n{lines}{policy}    script: |\n"
        f"      echo begin {step.name} $$ >> {file}\n      sleep {pause_s}\n      {ending}\n"
    )
