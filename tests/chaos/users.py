"""Users of the system: they send the requests of a plan until they are answered, and approve what waits."""

import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from shared.store import tables as t
from tests.chaos.model import Plan, Request, Verb
from tests.harness.cluster import Deployment

__all__ = ["Reply", "Users"]

_AT_ONCE = 6
_ANSWERED_S = 240
_LOOK_S = 1.0
_RUN_VERBS = (Verb.START, Verb.ENQUEUE)


@dataclass(frozen=True, slots=True)
class Reply:
    """The final reply to a request. ``run_id`` is that of the response, empty if it has none."""

    status: int
    run_id: str


class Users:
    """Send the requests of a plan. ``replies`` has all replies to each key, in order."""

    def __init__(self, system: Deployment, plan: Plan) -> None:
        self._system = system
        self._client = system.client
        self._plan = plan
        self._lock = threading.Lock()
        self._asking = [dag.name for dag in plan.dags if dag.asks]
        self.replies: dict[str, list[Reply]] = defaultdict(list)

    def prepare(self) -> None:
        """Create queues and DAGs."""
        for name, limit in self._plan.queues.items():
            answer = self._client.settle("PUT", f"/queues/{name}", {"maxConcurrency": limit}, key=name)
            assert answer.status == 200, answer
        for dag in self._plan.dags:
            self._client.create(dag.name, dag.spec)

    def work(self, seconds: float) -> None:
        """Send all requests at their times. Returns when each is answered and ``seconds`` are over."""
        began, over = time.monotonic(), threading.Event()
        approver = threading.Thread(target=self._approve_until, args=(over,), name="approver")
        approver.start()
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                sent = []
                for request in self._plan.requests:
                    over.wait(max(0.0, began + request.at_s - time.monotonic()))
                    sent.append(pool.submit(self._send, request))
                over.wait(max(0.0, began + seconds - time.monotonic()))
            for one in sent:
                one.result()
        finally:
            over.set()
            approver.join()

    def settle(self) -> None:
        """Ask again, with the same keys, for the outcome of runs of which nobody has said that they are recorded."""
        for request in self._plan.requests:
            if request.verb in _RUN_VERBS and self.replies[request.key][-1].status == 202:
                self._ask(request)
        for dag in self._plan.dags:
            if dag.cron:
                path, key = f"/dags/{dag.name}/suspend", f"suspend-{dag.name}"
                answer = self._client.settle("POST", path, {"suspend": True}, key=key)
                assert answer.status == 200, answer

    def approve(self) -> None:
        """Approve each run that waits, or what waits below it."""
        for dag in self._asking:
            for run in self._system.rows(t.dag_runs, dag_name=dag, status="waiting"):
                path = f"/dag-runs/{dag}/{run['dag_run_id']}"
                below = self._system.rows(t.dag_runs, parent_key=run["run_key"], status="waiting")
                asking = {f"{path}/sub-dag-runs/{each['dag_run_id']}": each for each in below} or {path: run}
                for place, each in asking.items():
                    # The same key each time: a failover may have lost what was recorded.
                    key = f"ok-{each['run_key']}"
                    self._client.insist("POST", f"{place}/steps/ok/approve", {}, key=key, timeout_s=_ANSWERED_S)

    def _approve_until(self, over: threading.Event) -> None:
        while not over.wait(_LOOK_S):
            self.approve()

    def _send(self, request: Request) -> None:
        for _ in range(1 + request.repeats):
            self._ask(request)

    def _ask(self, request: Request) -> None:
        path, body = _form(request)
        answer = self._client.insist("POST", path, body, key=request.key, timeout_s=_ANSWERED_S)
        run_id = answer.json.get("dagRunId", "") if isinstance(answer.json, dict) else ""
        with self._lock:
            self.replies[request.key].append(Reply(answer.status, str(run_id)))


def _form(request: Request) -> tuple[str, dict[str, Any]]:
    if request.verb not in _RUN_VERBS:
        return f"/dag-runs/{request.dag}/{request.run_id}/{request.verb}", {}
    body = {"dagRunId": request.run_id} if request.run_id else {}
    if request.verb is Verb.ENQUEUE:
        body |= {"queue": request.queue, "priority": request.priority}
    return f"/dags/{request.dag}/{request.verb}", body
