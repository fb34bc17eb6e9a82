"""Judge a campaign: nothing lost, nothing doubled without saying so, nothing given up without a cause.

``dagway verify`` judges the database by itself; these rules compare it with what really happened. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime

from shared.status import AttemptState, NodeStatus, RunStatus
from tests.chaos.evidence import Evidence, Row
from tests.chaos.model import StepPlan, Verb

__all__ = ["RULES", "judge"]

_OUTLASTS_S = 5.0
"""How long after a fault of a worker or its link the worker may still be declared lost: its way back takes as long."""
_HELD = frozenset({AttemptState.FINISHED, AttemptState.LOST})


class Facts:
    """The evidence, arranged for the rules."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.runs = {run["run_key"]: run for run in evidence.runs}
        self.steps: dict[tuple[str, str], StepPlan] = {
            (dag, step.name): step for plan in evidence.plan.dags for dag, steps in plan.steps.items() for step in steps
        }
        self.attempts: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for attempt in evidence.attempts:
            self.attempts[attempt["run_key"], attempt["node"]].append(attempt)
        self.begun = Counter((row["run_key"], row["node"]) for row in evidence.executions if row["begun"])
        self.children: dict[str, list[Row]] = defaultdict(list)
        for run in evidence.runs:
            if run["parent_key"]:
                self.children[run["parent_key"]].append(run)

    def planned(self) -> Iterator[tuple[Row, Row, StepPlan, int]]:
        """Yield run, node, plan and number of executions of each step that writes to the ledger."""
        for node in self.evidence.nodes:
            run = self.runs[node["run_key"]]
            plan = self.steps.get((run["dag_name"], node["name"]))
            if plan is not None:
                yield run, node, plan, self.count("begin", run, plan)

    def undone(self, run: Row) -> bool:
        """Whether a failover has lost commits of a run, and with them what they promised."""
        return (run["dag_name"], run["dag_run_id"]) in self.evidence.undone.runs

    def count(self, what: str, run: Row, step: StepPlan) -> int:
        """Return how often a step of a run has written ``begin`` or ``end``."""
        return self.evidence.ledger.get((run["dag_name"], run["dag_run_id"]), Counter())[what, step.name]


def judge(evidence: Evidence) -> dict[str, list[str]]:
    """Return the violations of each rule."""
    facts = Facts(evidence)
    return {name: list(rule(facts)) for name, rule in RULES.items()}


def _accepted_runs_exist(facts: Facts) -> Iterator[str]:
    """Each accepted start made one run, the same for each repetition; no other runs were made."""
    evidence = facts.evidence
    expected: Counter[tuple[str, str]] = Counter()
    excused: set[tuple[str, str]] = set()
    for request in evidence.plan.requests:
        if request.verb not in (Verb.START, Verb.ENQUEUE):
            continue
        replies = evidence.replies.get(request.key, ())
        statuses = [reply.status for reply in replies]
        if not statuses or statuses[-1] != 200:
            yield f"{request.key}: {request.verb} of {request.dag} was answered with {statuses}"
            continue
        ids = {reply.run_id for reply in replies if reply.run_id}
        if any((request.dag, run_id) in evidence.undone.created for run_id in ids):
            excused |= {(request.dag, run_id) for run_id in ids}
            continue
        if len(ids) != 1:
            yield f"{request.key}: its replies name the runs {sorted(ids)}"
        expected.update((request.dag, run_id) for run_id in ids)
    cron = {dag.name for dag in evidence.plan.dags if dag.cron}
    made = Counter(
        (run["dag_name"], run["dag_run_id"])
        for run in evidence.runs
        if not run["parent_key"] and run["dag_name"] not in cron and (run["dag_name"], run["dag_run_id"]) not in excused
    )
    yield from (f"{dag}/{run_id} was accepted and does not exist" for dag, run_id in expected - made)
    yield from (f"{dag}/{run_id} was made without a request" for dag, run_id in made - expected)


def _retries_count_once(facts: Facts) -> Iterator[str]:
    """A run has as many attempts as retries were carried out, plus one."""
    evidence = facts.evidence
    carried_out = Counter(
        (request.dag, request.run_id)
        for request in evidence.plan.requests
        if request.verb is Verb.RETRY and evidence.outcomes.get(request.key) == "recorded"
    )
    asks = {dag.name for dag in evidence.plan.dags if dag.asks}
    for run in evidence.runs:
        if run["parent_key"] or run["dag_name"] in asks:
            continue
        expected = 1 + carried_out[run["dag_name"], run["dag_run_id"]]
        if run["run_attempt"] != expected:
            yield f"{_name(run)} has {run['run_attempt']} run attempts instead of {expected}"


def _runs_end(facts: Facts) -> Iterator[str]:
    for run in facts.evidence.runs:
        if RunStatus(run["status"]).active or run["status"] == RunStatus.NOT_STARTED:
            yield f"{_name(run)} is still {run['status']}"


def _executions_are_recorded(facts: Facts) -> Iterator[str]:
    """No step ran more often than the table ``executions`` has begins of it."""
    for run, node, step, executions in facts.planned():
        recorded = facts.begun[run["run_key"], node["idx"]]
        if executions > recorded and not facts.undone(run):
            yield f"{_name(run)} {step.name} ran {executions} times, recorded are {recorded}"


def _at_most_once(facts: Facts) -> Iterator[str]:
    """A step without a retry policy runs as often as it repeats in each run attempt at most, or its run says so."""
    for run, node, step, executions in facts.planned():
        if step.retried or run["run_key"] in facts.evidence.told or facts.undone(run):
            continue
        held = {
            attempt["run_attempt"]
            for attempt in facts.attempts[run["run_key"], node["idx"]]
            if attempt["state"] in _HELD
        }
        if executions > step.repeats * len(held):
            yield f"{_name(run)} {step.name} ran {executions} times in {len(held)} run attempts, and it does not say so"


def _successes_ran(facts: Facts) -> Iterator[str]:
    """A step that succeeded ran to its end, as often as it repeats if nobody stopped its run."""
    for run, node, step, _ in facts.planned():
        ends = facts.count("end", run, step)
        if node["status"] == NodeStatus.SUCCEEDED and ends < (1 if run["stop_reason"] else step.repeats):
            yield f"{_name(run)} {step.name} succeeded, but ran to its end {ends} times"


def _losses_have_a_cause(facts: Facts) -> Iterator[str]:
    """An attempt is declared lost only if a fault hit its worker, or the worker's link, while it was open."""
    for attempt in facts.evidence.attempts:
        if attempt["state"] != AttemptState.LOST or facts.undone(facts.runs[attempt["run_key"]]):
            continue
        opened, closed = _stamp(attempt["dispatched_at"]), _stamp(attempt["finished_at"])
        if not any(
            attempt["worker_id"] in strike.touches and strike.began <= closed and opened <= strike.ended + _OUTLASTS_S
            for strike in facts.evidence.strikes
        ):
            run = facts.runs[attempt["run_key"]]
            what = f"{_name(run)} node {attempt['node']} was given up at {attempt['finished_at']:%H:%M:%S}"
            yield f"{what}, though no fault hit {attempt['worker_id']}: {attempt['error']}"


def _failures_have_a_cause(facts: Facts) -> Iterator[str]:
    """A step fails only if it is made to, if an attempt was lost or cut off, or if a run that it called failed."""
    for node in facts.evidence.nodes:
        if node["status"] != NodeStatus.FAILED:
            continue
        run = facts.runs[node["run_key"]]
        step = facts.steps.get((run["dag_name"], node["name"]))
        # A stopped run repeats no step.
        if step is not None and step.fails and (not step.retried or run["stop_reason"]):
            continue
        last = max(facts.attempts[node["run_key"], node["idx"]], key=lambda one: one["finished_at"], default=None)
        given_up = last is not None and (last["state"] == AttemptState.LOST or last["outcome"] == "broken")
        below = any(child["status"] != NodeStatus.SUCCEEDED for child in facts.children[node["run_key"]])
        if not given_up and not below:
            yield f"{_name(run)} {node['name']} failed without a cause: {node['error']}"


def _fired_runs_exist(facts: Facts) -> Iterator[str]:
    """Each fire has one run and each run of a schedule has one fire."""
    evidence = facts.evidence
    fired = Counter(row["dag_run_id"] for row in evidence.slots if row["outcome"] == "fired")
    cron = {dag.name for dag in evidence.plan.dags if dag.cron}
    made = Counter(run["dag_run_id"] for run in evidence.runs if run["dag_name"] in cron)
    yield from (f"the run {run_id} of a fire does not exist" for run_id in fired - made)
    yield from (f"the run {run_id} of a schedule has no fire" for run_id in made - fired)


def _name(run: Row) -> str:
    return f"{run['dag_name']}/{run['dag_run_id']}"


def _stamp(moment: datetime) -> float:
    return moment.timestamp()


RULES: dict[str, Callable[[Facts], Iterator[str]]] = {
    "accepted runs exist": _accepted_runs_exist,
    "accepted runs end": _runs_end,
    "retries count once": _retries_count_once,
    "executions are recorded": _executions_are_recorded,
    "at most once": _at_most_once,
    "successes ran": _successes_ran,
    "losses have a cause": _losses_have_a_cause,
    "failures have a cause": _failures_have_a_cause,
    "fired runs exist": _fired_runs_exist,
}
