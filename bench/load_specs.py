"""``python -m bench.load_specs [files] [sqlite|postgres ...]``: how fast workflows of 20 steps load.

Measures loading alone, then a DAG folder that a scheduler follows, on each database: the first scan, a scan without
changes, the first scan of a restarted scheduler, and computing the schedules. Rates are given by wall clock and by CPU
time of this process, since other work may share the machine.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

from bench.systems.rig import database
from services.scheduler.assembly import Assembly
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from services.scheduler.loops import folder as following
from shared.clock import utc_now
from shared.language.load import load
from shared.store.engine import open_engine
from shared.store.writes.transaction import Store
from shared.transport.embedded.transport import EmbeddedTransport

STEPS = 20


def spec(number: int) -> str:
    """Return a realistic workflow of 20 steps."""
    head = f"description: file {number}\ntags: [bench]\nenv: [{{REGION: eu}}]\nparams: [{{DAY: today}}]\nsteps:\n"
    step = (
        "  - name: step-{0}\n    command: echo {0} ${{DAY}}\n    output: OUT_{0}\n"
        "    retryPolicy: {{limit: 2, intervalSec: 5}}\n"
    )
    return head + "".join(step.format(one) for one in range(STEPS))


def _timed(count: int, work: Callable[[], object]) -> str:
    """Run ``work`` and return its rate in files per second."""
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return f"{seconds:.2f} s, {count / seconds:.0f} files/s, {count / cpu:.0f} files per CPU second"


def _follow(url: str, dags: Path, texts: list[str]) -> None:
    parts = Assembly(
        Store(open_engine(url, pool_size=4)),
        EmbeddedTransport(None),
        SchedulerMemory(Plans()),
        utc_now,
        ZoneInfo("UTC"),
    )
    parsed = 0

    def counted(*args: object, **facts: object) -> object:
        nonlocal parsed
        parsed += 1
        return load(*args, **facts)  # type: ignore[arg-type]

    following.__dict__["load"] = counted
    follower = following.Folder(parts.transactor, dags)
    for what in ("first look", "look at nothing new", "first scan of a restarted scheduler"):
        if what.endswith("scheduler"):
            follower = following.Folder(parts.transactor, dags)
        parsed = 0
        print(f"  {what}: {_timed(len(texts), follower.run_once)}, {parsed} parsed")

    def adopt() -> None:
        while parts.firing.adopt():
            pass

    print(f"  computing schedules: {_timed(len(texts), adopt)}")


def main() -> None:
    """Run the benchmark."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    texts = [spec(number) for number in range(count)]
    rate = _timed(count, lambda: [load(text, file_name="x.yaml").ok for text in texts])
    print(f"loading {count} files of {STEPS} steps: {rate}")
    with tempfile.TemporaryDirectory() as name:
        dags = Path(name) / "dags"
        dags.mkdir()
        for number, text in enumerate(texts):
            (dags / f"d{number}.yaml").write_text(text)
        for kind in sys.argv[2:] or ("sqlite", "postgres"):
            print(f"followed folder, {kind}:")
            with database(kind) as (url, _server):
                _follow(url, dags, texts)


if __name__ == "__main__":
    main()
