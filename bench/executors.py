"""``python -m bench.executors``: the worker's own cost of a step, without broker and database.

noop   no-op command steps, from receiving the task to reporting its end, with and without a shell. Before each step,
       the same argv runs by a bare ``posix_spawn``, in a session of its own, with an environment of similar size and
       its output in a file, for comparison. The transport accepts every message immediately
flood  one step that writes 200 MB: log throughput, and the worker's memory before the step and at its peak
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any, cast

from services.worker.attempt.context import Preparation
from services.worker.attempt.grants import Grants
from services.worker.attempt.handler import TaskHandler, WorkerIdentity
from services.worker.attempt.registry import AttemptRegistry
from services.worker.attempt.runner import AttemptRunner
from services.worker.attempt.spans import AttemptSpans
from services.worker.inputs.sealing import Sealer
from services.worker.inputs.secret_values import SecretResolver
from services.worker.inputs.workspace import Workspace
from services.worker.main import Worker, WorkerSettings
from services.worker.output.log_shipper import LogShipper
from services.worker.process.guardian_client import GuardianClient
from services.worker.process.shells import DIRECT, shell_argv
from services.worker.process.stop_request import StopRequest
from services.worker.reporting.metrics import WorkerCounters
from services.worker.reporting.reports import Reporter
from shared.clock import utc_now
from shared.contracts.codec import decode, encode
from shared.contracts.events import LogChunk
from shared.contracts.tasks import Task
from shared.language.model import Step, StepCommand
from shared.tracing import SpanContext
from shared.transport.base import EVENTS, LOGS, Delivery, Outgoing, Transport, task_queue
from shared.transport.embedded.transport import EmbeddedTransport

_STEPS = 1_000
_FLOOD_BYTES = 200_000_000


def _task(text: str, token: str, shell: tuple[str, ...] = ()) -> Task:
    step = Step(name="s", commands=(StepCommand(text=text, argv=tuple(text.split())),))
    facts: dict[str, Any] = {
        "run_key": "d/r1",
        "dag_name": "d",
        "dag_run_id": "r1",
        "root_dag_name": "d",
        "root_dag_run_id": "r1",
    }
    return Task(token=token, node=0, number=1, step=step, shell=shell, **facts)


class _Accepting:
    """A transport that accepts every message and drops it."""

    healthy = True
    one_program = True

    def __init__(self) -> None:
        self._accepted: Future[None] = Future()
        self._accepted.set_result(None)

    def send(self, _message: Outgoing) -> "Future[None]":
        return self._accepted


class _Taken:
    """A delivery of a task. Its ``ack`` does nothing, its ``retry`` fails the benchmark."""

    message_id, body, redelivered, held = "", b"", False, True

    def ack(self) -> None: ...

    def retry(self) -> None:
        raise RuntimeError("the start of a step was not accepted")


class _Bare:
    """Runs the command without a worker, for comparison."""

    def __init__(self, argv: list[str], log: Path) -> None:
        self._path = shutil.which(argv[0]) or f"/bin/{argv[0]}"
        self._argv = argv
        self._env = dict(os.environ)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._files = [
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o640),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]

    def run(self) -> None:
        pid = os.posix_spawn(self._path, self._argv, self._env, file_actions=self._files, setsid=True)
        os.waitpid(pid, 0)


_OF_RUN = SpanContext.named("bench")


@contextmanager
def _handler(folder: Path, counters: WorkerCounters) -> Iterator[TaskHandler]:
    """Yield the task handler of a worker without its intake: the benchmark passes tasks to the handler directly."""
    workspace, transport = Workspace(folder), cast("Transport", _Accepting())
    guardian = GuardianClient("bench", lambda: None)
    sealer, resolver = Sealer(), SecretResolver()
    shipper, attempts = LogShipper(transport), AttemptRegistry()
    reporter = Reporter(transport, folder / "spool", attempts.delivered)
    shipper.start()
    reporter.start()
    yield TaskHandler(
        WorkerIdentity("w1", "bench"),
        Preparation(workspace, sealer, resolver),
        runner=AttemptRunner(guardian, workspace, sealer, resolver, "any"),
        shipper=shipper,
        reporter=reporter,
        attempts=attempts,
        grants=Grants(reporter),
        heard=lambda: True,
        counters=counters,
        spans=AttemptSpans("w1", "any"),
    )
    shipper.stop()
    reporter.stop()
    guardian.close()


def noop() -> None:
    """Print the cost of a no-op step, compared with the same command run by a bare ``posix_spawn``."""
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as place:
        counters = WorkerCounters()
        with _handler(Path(place), counters) as handler:
            for shell in (DIRECT, ("sh",)):
                argv = ["true"] if shell == DIRECT else shell_argv(shell, "true", errexit=True)
                _compare(handler, counters, shell, _Bare(argv, Path(place) / "bare.log"))


def _compare(handler: TaskHandler, counters: WorkerCounters, shell: tuple[str, ...], bare: _Bare) -> None:
    stop, delivery = StopRequest(), cast("Delivery", _Taken())
    before = counters.now().get("finished.succeeded", 0)
    pairs: list[tuple[float, float]] = []
    for place in range(_STEPS):
        task = _task("true", f"{shell[0]}-{place}", shell)
        begin = time.perf_counter()
        bare.run()
        between = time.perf_counter()
        handler.run(task, stop, delivery, _OF_RUN)
        pairs.append((between - begin, time.perf_counter() - between))
    # Fail unless the step succeeded: a failed step would be fast and spoil the result.
    if (done := counters.now().get("finished.succeeded", 0) - before) != len(pairs):
        raise RuntimeError(f"{len(pairs) - done} of {len(pairs)} steps did not succeed")
    # The fastest tenth is the least disturbed by other work on the machine.
    for decile, name in ((5, "median"), (1, "first decile")):
        bare_ms, step_ms = (quantiles(column, n=10)[decile - 1] * 1000 for column in zip(*pairs, strict=True))
        print(
            f"noop, shell {shell[0]}: bare posix_spawn {bare_ms:.3f} ms, a step {step_ms:.3f} ms; "
            f"ratio {step_ms / bare_ms:.2f} ({name})"
        )


def _memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def flood() -> None:
    """Print the log throughput of one step, and the worker's memory."""
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as place:
        transport = EmbeddedTransport(None)
        worker = Worker(transport, WorkerSettings(worker_id="w1", slots=2, data_dir=Path(place)))
        consumer = transport.consume([EVENTS, LOGS], prefetch=100)
        worker.start()
        before = peak = _memory_mb()
        task = _task(f"head -c {_FLOOD_BYTES} /dev/zero", "flood")
        begin = time.perf_counter()
        transport.send(Outgoing(task_queue({}), encode(task, id="flood", at=utc_now()), "flood")).result()
        got = 0
        while got < _FLOOD_BYTES:
            for delivery in consumer.take(100, 5):
                body = decode(delivery.body).body
                got += len(body.data) if isinstance(body, LogChunk) else 0
                delivery.ack()
            peak = max(peak, _memory_mb())
        took = time.perf_counter() - begin
        worker.stop()
        transport.close()
    print(f"flood: {got / took / 1e6:.0f} MB/s; memory {before:.0f} MB before, {peak:.0f} MB at its peak")


def main() -> None:
    """Run both benchmarks."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start, {threading.active_count()} threads")
    noop()
    flood()


if __name__ == "__main__":
    main()
