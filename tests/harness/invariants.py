"""The system's invariants, which the database must satisfy whatever happened, as queries.

Call ``violations`` when all runs have ended. It returns one text for each violation, and an empty list if
there is none. Each check names its invariant: I1, I3 to I7, I9, and the parts of I8 and I10 that are visible
in the database.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from services.scheduler.core.plan import Plan
from shared.language.load import load
from shared.status import AttemptState, NodeStatus, RunStatus
from shared.store import tables as t
from shared.store.engine import transaction

__all__ = ["at_rest", "census", "violations"]

_OPEN = [str(status) for status in RunStatus if status.active or status is RunStatus.NOT_STARTED]
_CREATING = ("run.start", "run.enqueue", "run.retry")


def census(engine: Engine) -> dict[str, dict[str, int]]:
    """Count runs and nodes by status, attempts by state and commands by outcome."""
    columns = {
        "runs": t.dag_runs.c.status,
        "nodes": t.nodes.c.status,
        "attempts": t.attempts.c.state,
        "commands": t.inbox.c.outcome,
    }
    with transaction(engine) as connection:
        found = {}
        for what, column in columns.items():
            rows = connection.execute(select(column, func.count()).group_by(column))
            found[what] = {str(name): count for name, count in rows}
        found["left"] = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (t.outbox, t.timers)
        }
        found["transitions"] = {"all": connection.execute(select(func.count()).select_from(t.transitions)).scalar_one()}
    return found


def at_rest(engine: Engine) -> bool:
    """Whether every run and errand has ended and the outbox is empty."""
    with transaction(engine) as connection:
        active = connection.execute(select(t.dag_runs.c.run_key).where(t.dag_runs.c.status.in_(_OPEN)).limit(1)).first()
        held = connection.execute(select(t.nodes.c.token).where(t.nodes.c.token.is_not(None)).limit(1)).first()
        owed = connection.execute(select(t.outbox.c.id).limit(1)).first()
    return active is None and held is None and owed is None


def violations(engine: Engine, *, commands: Iterable[str] = ()) -> list[str]:
    """Check all invariants. ``commands`` are ids of accepted commands, each of which must have an outcome."""
    with transaction(engine) as connection:
        runs = {row["run_key"]: row for row in _rows(connection, select(t.dag_runs))}
        nodes = _rows(connection, select(t.nodes).order_by(t.nodes.c.run_key, t.nodes.c.idx))
        attempts = _rows(connection, select(t.attempts))
        transitions = _rows(connection, select(t.transitions).order_by(t.transitions.c.run_key, t.transitions.c.seq))
        return [
            *_one_outcome(connection, runs, commands),
            *_one_open_attempt(nodes, attempts),
            *_fenced(runs, nodes, attempts),
            *_one_end(runs, transitions),
            *_in_order(connection, runs, transitions),
            *_without_gaps(connection, runs, transitions),
            *_nothing_stuck(connection, runs, nodes),
            *_recorded_executions(connection, attempts, transitions),
            *_whole_logs(connection),
            *_log_sizes(connection),
        ]


def _rows(connection: Connection, query: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]


def _one_outcome(connection: Connection, runs: dict[str, Any], commands: Iterable[str]) -> Iterator[str]:
    """I1: every accepted command has exactly one outcome; exactly one command created each run."""
    outcomes = {row["command_id"]: row for row in _rows(connection, select(t.inbox))}
    for command_id in set(commands) - outcomes.keys():
        yield f"I1: command {command_id} was accepted and has no outcome"
    made = Counter(
        row["reply"].get("result", {}).get("dagRunId")
        for row in outcomes.values()
        if row["type"] in _CREATING and row["outcome"] == "recorded"
    )
    for run_id, count in made.items():
        existing = sum(1 for run in runs.values() if run["dag_run_id"] == run_id)
        if existing > count:
            yield f"I1: {count} commands made {existing} runs called {run_id}"


def _one_open_attempt(nodes: list[dict[str, Any]], attempts: list[dict[str, Any]]) -> Iterator[str]:
    """I3: a step has at most one open attempt, and no attempt is both open and closed."""
    opened = Counter(node["token"] for node in nodes if node["token"] is not None)
    closed = {attempt["token"] for attempt in attempts}
    yield from (f"I3: token {token} is open {count} times" for token, count in opened.items() if count > 1)
    yield from (f"I3: token {token} is open and closed" for token in opened.keys() & closed)


def _fenced(runs: dict[str, Any], nodes: list[dict[str, Any]], attempts: list[dict[str, Any]]) -> Iterator[str]:
    """I4: no step has two recorded outcomes, and a step's status matches its last attempt.

    The errand node is an exception: a run may have several errands, one after the other.
    """
    tried = defaultdict(list)
    errands = {(node["run_key"], node["idx"]) for node in nodes if node["kind"] == "errand"}
    for attempt in attempts:
        if (attempt["run_key"], attempt["node"]) in errands:
            continue
        if attempt["state"] in {AttemptState.FINISHED, AttemptState.LOST}:
            tried[attempt["run_key"], attempt["node"], attempt["run_attempt"]].append(attempt)
    for (key, node, run_attempt), tries in tried.items():
        numbers = sorted(attempt["number"] for attempt in tries)
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"I4: node {node} of run {key}, attempt {run_attempt}, has outcomes for its tries {numbers}"
        good = [attempt["number"] for attempt in tries if attempt["outcome"] == "succeeded"]
        if good and good != [numbers[-1]]:
            yield f"I4: node {node} of run {key} succeeded at {good} of its tries {numbers}"
    for node in nodes:
        tries = tried[node["run_key"], node["idx"], runs[node["run_key"]]["run_attempt"]]
        if node["status"] == NodeStatus.SUCCEEDED and tries:
            last = max(tries, key=lambda attempt: int(attempt["number"]))
            if last["state"] != AttemptState.FINISHED or node["token"] is not None:
                yield f"I4: node {node['name']} of run {node['run_key']} succeeded, its last try is {last['state']}"


def _one_end(runs: dict[str, Any], transitions: list[dict[str, Any]]) -> Iterator[str]:
    """I5: one terminal state per run, left only by an explicit retry."""
    ends: Counter[str] = Counter()
    for change in transitions:
        if change["node"] is not None or change["was"] == change["became"]:
            continue
        was, became = RunStatus(change["was"]), RunStatus(change["became"])
        if _ended(was) and not change["why"].startswith("retry"):
            yield f"I5: run {change['run_key']} left {was}: {change['why']}"
        # "waiting" ends a run attempt too: an approval begins the next one.
        ends[change["run_key"]] += was is RunStatus.RUNNING and became is not RunStatus.RUNNING
    for key, run in runs.items():
        if _ended(RunStatus(run["status"])) and ends[key] != run["run_attempt"]:
            yield f"I5: run {key} ended {ends[key]} times in {run['run_attempt']} attempts"


def _ended(status: RunStatus) -> bool:
    return not status.active and status is not RunStatus.NOT_STARTED


def _in_order(connection: Connection, runs: dict[str, Any], transitions: list[dict[str, Any]]) -> Iterator[str]:
    """I6: a step starts only after all its dependencies have ended."""
    texts = {row.hash: row.yaml for row in connection.execute(select(t.specs))}
    plans: dict[tuple[str, str], Plan] = {}
    ended: dict[str, set[int]] = defaultdict(set)
    for change in transitions:
        key, node = change["run_key"], change["node"]
        if node is None:
            continue
        run = runs[key]
        source = (run["spec_hash"], run["file_name"] or "")
        if source not in plans:
            dag = load(texts[source[0]], file_name=source[1]).dag
            assert dag is not None
            plans[source] = Plan(dag)
        depends = plans[source].depends
        if change["became"] == NodeStatus.RUNNING != change["was"] and node < len(depends):
            early = set(depends[node]) - ended[key]
            if early:
                yield f"I6: node {node} of run {key} started before {sorted(early)} ended"
        if NodeStatus(change["became"]).terminal:
            ended[key].add(node)
        else:
            ended[key].discard(node)


def _without_gaps(connection: Connection, runs: dict[str, Any], transitions: list[dict[str, Any]]) -> Iterator[str]:
    """I7: the outbox is empty, and the transitions of each run are numbered without gaps."""
    left = connection.execute(select(func.count()).select_from(t.outbox)).scalar_one()
    if left:
        yield f"I7: {left} messages are still in the outbox"
    numbers = defaultdict(list)
    for change in transitions:
        numbers[change["run_key"]].append(change["seq"])
    for key, run in runs.items():
        if numbers[key] != list(range(1, run["last_seq"] + 1)):
            yield f"I7: run {key} has changes {numbers[key]}, the last should be {run['last_seq']}"


def _nothing_stuck(connection: Connection, runs: dict[str, Any], nodes: list[dict[str, Any]]) -> Iterator[str]:
    """I9: no run, attempt or timer is left waiting."""
    for key, run in runs.items():
        if not _ended(RunStatus(run["status"])):
            yield f"I9: run {key} ({run['dag_name']}/{run['dag_run_id']}) is still {run['status']}"
    for node in nodes:
        if node["token"] is not None:
            yield f"I9: node {node['name']} of run {node['run_key']} has an open attempt ({node['token_state']})"
    for wait in _rows(connection, select(t.pool_waits)):
        yield f"I9: node {wait['node']} of run {wait['run_key']} still waits for {wait['kind']} {wait['name']}"
    for place in _rows(connection, select(t.pool_places).where(t.pool_places.c.until_at.is_(None))):
        yield f"I9: node {place['node']} of run {place['run_key']} still has {place['kind']} {place['name']}"
    for timer in _rows(connection, select(t.timers)):
        yield f"I9: run {timer['run_key']} has a timer {timer['kind']} due {timer['due_at']}"


def _recorded_executions(
    connection: Connection, attempts: list[dict[str, Any]], transitions: list[dict[str, Any]]
) -> Iterator[str]:
    """I8: an attempt has one holder, and a run tells of workers that began what they did not hold."""
    rows = _rows(connection, select(t.executions))
    holders = defaultdict(list)
    for row in rows:
        if row["accepted"]:
            holders[row["token"]].append((row["worker_id"], row["incarnation"]))
    yield from (f"I8: attempt {token} has the holders {found}" for token, found in holders.items() if len(found) > 1)
    for attempt in attempts:
        holder = (attempt["worker_id"], attempt["incarnation"])
        if attempt["state"] in {AttemptState.FINISHED, AttemptState.LOST} and holders[attempt["token"]] != [holder]:
            yield f"I8: attempt {attempt['token']} of {holder} has the holders {holders[attempt['token']]}"
    told = {(change["run_key"], change["node"]) for change in transitions if "without the right to" in change["why"]}
    for row in rows:
        if row["begun"] and not row["accepted"] and (row["run_key"], row["node"]) not in told:
            yield f"I8: run {row['run_key']} does not tell that {row['worker_id']} began {row['token']} ({row['why']})"


def _log_sizes(connection: Connection) -> Iterator[str]:
    """I10: the stored log of a finished attempt has as many bytes as its worker reported.

    The scheduler itself writes the output of a step that only called sub-runs.
    """
    c = t.log_chunks.c
    query = select(c.token, c.stream, func.sum(func.length(c.data)).label("size")).group_by(c.token, c.stream)
    stored = {(row["token"], row["stream"]): row["size"] for row in _rows(connection, query)}
    for attempt in _rows(connection, select(t.attempts).where(t.attempts.c.state == AttemptState.FINISHED)):
        for stream in ("stdout", "stderr"):
            reported, found = attempt[f"{stream}_bytes"], stored.get((attempt["token"], stream), 0)
            if reported and found != reported:
                yield f"I10: {stream} of attempt {attempt['token']} has {found} bytes stored, {reported} reported"


def _whole_logs(connection: Connection) -> Iterator[str]:
    """I10: the log chunks of each finished attempt are contiguous."""
    c = t.log_chunks.c
    query = (
        select(c.token, c.stream, c.seq, c.offset, func.length(c.data).label("size"))
        .join(t.attempts, t.attempts.c.token == c.token)
        .where(t.attempts.c.state == AttemptState.FINISHED)
        .order_by(c.token, c.stream, c.seq)
    )
    expected: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row in _rows(connection, query):
        log = (row["token"], row["stream"])
        if (row["seq"], row["offset"]) != expected[log]:
            yield f"I10: {log} goes on at {row['seq']}, {row['offset']} instead of {expected[log]}"
        expected[log] = (row["seq"] + 1, row["offset"] + row["size"])
