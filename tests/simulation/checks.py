"""What must hold in every simulation: the checks of ``dagway verify``, and what only the simulation can know."""

import re
from collections import Counter, defaultdict
from datetime import datetime

from sqlalchemy import select

from services.scheduler.core.plan import HANDLER, STEP
from shared.contracts.attempt_tokens import chain_of
from shared.contracts.codec import decode
from shared.contracts.tasks import Task
from shared.store import tables as t
from shared.store.checks.verify import verify
from shared.store.engine import transaction
from tests.harness.invariants import at_rest, violations
from tests.simulation.clients import Clients
from tests.simulation.cluster import LEASE_S, Cluster
from tests.simulation.imports import EPOCH

__all__ = ["Checks"]

_TWICE = "it may have run twice"
_LOGS_OF_LOST_RUNS = re.compile("owner: .* rows of log_chunks")
"""What is left of a run whose creation a failover lost while its step went on printing."""
_LOST_TASK = "its task was lost on the way"
_LOOK_BACK_S = 3 * LEASE_S + 10.0
"""A worker that was in trouble for this long before it counts as lost may rightly be lost."""


class Checks:
    """Looks at one cluster. Each method returns what is wrong."""

    def __init__(self, cluster: Cluster, clients: Clients) -> None:
        self._cluster, self._clients = cluster, clients
        self._engine = cluster.database.reader
        self._transitions: dict[tuple[str, int], tuple[str, str, str]] = {}
        self._judged: set[str] = set()
        self._sent: set[str] = set()

    def now(self) -> list[str]:
        """Check the live system."""
        found = [
            f"{result.check.name}: {one.text}"
            for result in verify(self._engine, self._cluster.database.now(), LEASE_S)
            for one in result.shown
        ]
        return [*found, *self.often()]

    def often(self) -> list[str]:
        """Check the live system, with what costs little."""
        if self._cluster.database.failed_over:
            return [*self._cluster.problems, *self._rightly_lost()]
        return [
            *self._cluster.problems,
            *self._history_kept(),
            *self._rightly_lost(),
            *self._tasks_exist(),
            *self._tasks_arrive(),
        ]

    def at_rest(self) -> bool:
        return self._clients.done and at_rest(self._engine) and not self._cluster.broker.depths()

    def at_end(self) -> list[str]:
        """Check a system that is at rest."""
        if self._cluster.database.failed_over:
            # What lost commits promised is broken. What is left must agree with itself, and no token be used twice.
            left = [one for one in violations(self._engine) if not _LOGS_OF_LOST_RUNS.match(one)]
            return [*left, *self.often(), *self._outcomes_agree(), *self._tokens_differ()]
        return [
            *violations(self._engine, commands=self._clients.accepted),
            *self.often(),
            *self._replies_agree(),
            *self._one_audit_entry(),
            *self._executions_recorded(),
            *self._outcomes_agree(),
            *self._once_or_told(),
            *(f"dead letter of {letter.queue}: {letter.reason}" for letter in self._cluster.broker.dead),
        ]

    # -- history ----------------------------------------------------------------------------------------

    def _history_kept(self) -> list[str]:
        """No transition that was once committed changes or vanishes."""
        with transaction(self._engine) as connection:
            c = t.transitions.c
            rows = connection.execute(select(c.run_key, c.seq, c.was, c.became, c.why)).all()
        now = {(row.run_key, row.seq): (row.was, row.became, row.why) for row in rows}
        found = [
            f"transition {key} was {then} and is {now.get(key)}"
            for key, then in self._transitions.items()
            if now.get(key) != then
        ]
        self._transitions = now
        return found

    # -- tasks and workers ------------------------------------------------------------------------------

    def _tasks_exist(self) -> list[str]:
        """An attempt that is dispatched has a task, or its chain has: in the outbox, or the broker took it."""
        n = t.nodes.c
        with transaction(self._engine) as connection:
            owed = connection.execute(select(t.outbox.c.id, t.outbox.c.body)).all()
            open_tokens = connection.execute(select(n.token, n.run_key).where(n.token_state == "dispatched")).all()
        tasks = [decode(row.body).body for row in owed]
        sent = {task.token for task in tasks if isinstance(task, Task)} | self._cluster.broker.tokens
        known = set(map(chain_of, sent))
        return [
            f"the task of attempt {row.token} was lost: it is nowhere"
            for row in open_tokens
            if chain_of(row.token) not in known
        ]

    def _rightly_lost(self) -> list[str]:
        """A worker counts as lost only if something happened to it, not to those who listen to it."""
        a = t.attempts.c
        query = select(a.token, a.worker_id, a.error, a.dispatched_at, a.finished_at).where(
            a.error.startswith("worker "), a.error.contains("was lost")
        )
        found = []
        with transaction(self._engine) as connection:
            for row in connection.execute(query):
                if row.token not in self._judged:
                    self._judged.add(row.token)
                    name = row.error.split()[1]
                    if not self._troubled(name, row.finished_at) and not self._died(name, row.dispatched_at):
                        found.append(f"worker {name} counts as lost, but nothing happened to it (attempt {row.token})")
        return found

    def _tasks_arrive(self) -> list[str]:
        """A task counts as lost on its way only if something happened to a worker: this broker loses none."""
        c = t.transitions.c
        query = select(c.run_key, c.seq, c.at).where(c.why.contains(_LOST_TASK))
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return [
            f"a task of run {row.run_key} counts as lost on its way, but nothing happened to a worker"
            for row in rows
            if not any(self._troubled(member.name, row.at) for member in self._cluster.workers)
        ]

    def _troubled(self, name: str, at: datetime) -> bool:
        at_s = at.timestamp() - EPOCH
        member = next(each for each in self._cluster.workers if each.name == name)
        return any(since <= at_s and until >= at_s - _LOOK_BACK_S for since, until in member.troubled)

    def _died(self, name: str, since: datetime) -> bool:
        """Whether a worker was killed since then. Its attempts are lost however long an outage hides that."""
        member = next(each for each in self._cluster.workers if each.name == name)
        return any(at_s >= since.timestamp() - EPOCH for at_s in member.killed_s)

    # -- commands ---------------------------------------------------------------------------------------

    def _replies_agree(self) -> list[str]:
        return [
            f"command {command_id} got different replies: {replies}"
            for command_id, replies in self._clients.replies.items()
            if any(reply != replies[0] for reply in replies)
        ]

    def _one_audit_entry(self) -> list[str]:
        """A command is carried out once, so it has one entry in the audit log."""
        with transaction(self._engine) as connection:
            ids = connection.execute(select(t.audit.c.command_id).where(t.audit.c.command_id != "")).scalars()
            counts = Counter(ids)
        return [f"command {one} was carried out {count} times" for one, count in counts.items() if count > 1]

    # -- executions -------------------------------------------------------------------------------------

    def _executions_recorded(self) -> list[str]:
        e = t.executions.c
        with transaction(self._engine) as connection:
            rows = connection.execute(select(e.token, e.worker_id).where(e.begun)).all()
        recorded = Counter((row.token, row.worker_id) for row in rows)
        ran = Counter((each.token, each.worker) for each in self._cluster.ledger.executions)
        return [
            f"{worker} executed attempt {token} {count} times, {recorded[token, worker]} are recorded"
            for (token, worker), count in ran.items()
            if count > recorded[token, worker]
        ]

    def _outcomes_agree(self) -> list[str]:
        """A finished attempt has the outcome that its step had."""
        a = t.attempts.c
        with transaction(self._engine) as connection:
            rows = connection.execute(select(a.token, a.worker_id, a.outcome).where(a.state == "finished")).all()
        ran = {(each.token, each.worker): each.outcome for each in self._cluster.ledger.executions}
        return [
            f"attempt {row.token} is recorded as {row.outcome}, and was {ran[row.token, row.worker_id] or 'not over'}"
            for row in rows
            if (row.token, row.worker_id) in ran and ran[row.token, row.worker_id] != row.outcome
        ]

    def _tokens_differ(self) -> list[str]:
        """A token never names two attempts."""
        named = defaultdict(set)
        for each in self._cluster.ledger.executions:
            named[each.token].add((each.run_key, each.node, each.run_attempt, each.number))
        return [f"token {token} names {sorted(them)}" for token, them in named.items() if len(them) > 1]

    def _once_or_told(self) -> list[str]:
        """A step or handler without retries is executed at most once in a run attempt, or its run says otherwise."""
        with transaction(self._engine) as connection:
            c = t.transitions.c
            told = set(connection.execute(select(c.run_key).where(c.why.contains(_TWICE))).scalars())
        tokens: dict[tuple[str, int, int], list[str]] = defaultdict(list)
        for each in self._cluster.ledger.executions:
            if each.kind in {STEP, HANDLER} and not each.retries and not each.repeats:
                tokens[each.run_key, each.node, each.run_attempt].append(each.token)
        return [
            f"node {node} of run {run_key} was executed {len(them)} times: {them}"
            for (run_key, node, _), them in tokens.items()
            if len(them) > 1 and run_key not in told
        ]
