"""``python -m bench.executors``: what the worker itself adds to a step, with no broker and no database.

noop  one no-op command step after the other, from the task in hand to its end reported and accepted,
      beside bare ``posix_spawn`` of the same command: each round measures both, one right after the
      other. Taken from the queue before the clock starts: that is the transport's cost, not the step's
flood one step that writes 200 MB: log throughput, and the worker's memory before and at its peak
"""

import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.worker.attempts import Attempts
from services.worker.execute import Maker
from services.worker.guardian_client import Guardian
from services.worker.logs import LogShipper
from services.worker.main import Worker
from services.worker.metrics import Counters
from services.worker.pipeline import Identity, Pipeline
from services.worker.reports import Reporter
from services.worker.spans import AttemptSpans
from services.worker.supervise import Stop
from services.worker.workspace import Places
from shared.clock import utc_now
from shared.contracts.codec import decode, encode
from shared.contracts.events import LogChunk
from shared.contracts.tasks import Task
from shared.spec.model import Command, Step
from shared.tracing import SpanContext
from shared.transport.base import EVENTS, LOGS, Delivery, Outgoing, task_route
from shared.transport.embedded import EmbeddedTransport

_ROUNDS = 7
_STEPS = 150
_FLOOD_BYTES = 200_000_000
_WARM_UP = 20


def _task(text: str, token: str) -> Task:
    step = Step(name="s", commands=(Command(text=text, argv=("true",)),), shell=("direct",) if text == "true" else None)
    facts: dict[str, Any] = {
        "run_key": "d/r1",
        "dag_name": "d",
        "dag_run_id": "r1",
        "root_dag_name": "d",
        "root_dag_run_id": "r1",
    }
    return Task(token=token, node=0, number=1, step=step, **facts)


def _bare(path: str, env: dict[str, str]) -> float:
    begin = time.perf_counter()
    for _ in range(_STEPS):
        os.waitpid(os.posix_spawn(path, ["true"], env, setsid=True), 0)
    return (time.perf_counter() - begin) / _STEPS * 1000


_OF_RUN = SpanContext.named("bench")


@contextmanager
def _pipeline(folder: Path, transport: EmbeddedTransport, counters: Counters) -> Iterator[Pipeline]:
    """The worker without its intake: attempts are handed over directly."""
    transport.declare([EVENTS, LOGS])
    places = Places(folder)
    guardian = Guardian("bench", lambda: None)
    shipper, attempts = LogShipper(transport), Attempts()
    reporter = Reporter(transport, folder / "spool", attempts.delivered)
    shipper.start()
    reporter.start()
    yield Pipeline(
        Identity("w1", "bench"),
        places,
        maker=Maker(guardian, places),
        shipper=shipper,
        reporter=reporter,
        attempts=attempts,
        counters=counters,
        spans=AttemptSpans("w1"),
    )
    shipper.stop()
    reporter.stop()
    guardian.close()


def noop() -> None:
    """Print the cost of a no-op step beside that of its bare process."""
    path = shutil.which("true") or "/bin/true"
    env = {"PATH": os.environ.get("PATH", os.defpath)}
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as place:
        transport = EmbeddedTransport(None)
        consumer = transport.consume([task_route({})], prefetch=_STEPS)
        counters = Counters()
        with _pipeline(Path(place), transport, counters) as pipeline:
            stop, count = Stop(), 0

            def given() -> tuple[Task, Delivery]:
                nonlocal count
                count += 1
                task = _task("true", f"t{count}")
                transport.send(Outgoing(task_route({}), encode(task, id=task.token, at=utc_now()), task.token)).result()
                (delivery,) = consumer.take(1, 5)
                return task, delivery

            def steps(number: int) -> float:
                waiting = [given() for _ in range(number)]
                begin = time.perf_counter()
                for task, delivery in waiting:
                    pipeline.run(task, stop, delivery, _OF_RUN)
                return (time.perf_counter() - begin) / number * 1000

            steps(_WARM_UP)
            rounds = [(_bare(path, env), steps(_STEPS)) for _ in range(_ROUNDS)]
            # A step that was refused is quick indeed: only those that ran and succeeded count.
            if (done := counters.now().get("finished.succeeded", 0)) != count:
                raise RuntimeError(f"{count - done} of {count} steps did not succeed")
        transport.close()
    bare, whole = (min(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(step_ms / bare_ms for bare_ms, step_ms in rounds)
    print(f"noop: bare posix_spawn {bare:.3f} ms, a step {whole:.3f} ms; ratio {whole / bare:.2f} (median {ratio:.2f})")


def _memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def flood() -> None:
    """Print how fast one step's output reaches the broker, and what that costs in memory."""
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as place:
        transport = EmbeddedTransport(None)
        worker = Worker(transport, worker_id="w1", slots=2, data_dir=Path(place))
        consumer = transport.consume([EVENTS, LOGS], prefetch=100)
        worker.start()
        before = peak = _memory_mb()
        task = _task(f"head -c {_FLOOD_BYTES} /dev/zero", "flood")
        begin = time.perf_counter()
        transport.send(Outgoing(task_route({}), encode(task, id="flood", at=utc_now()), "flood")).result()
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
    """Run both."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start, {threading.active_count()} threads")
    noop()
    flood()


if __name__ == "__main__":
    main()
