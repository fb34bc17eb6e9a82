"""``python -m bench.load_specs [files] [sqlite|postgres ...]``: how fast workflows of 20 steps load.

Loading alone, then a whole followed folder on each database: the first look, a look at nothing new,
the first look of a restarted scheduler, and giving each dag its schedule. Rates are told by the wall
clock and by this process's CPU seconds: other work may share the machine.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

from services.scheduler.assembly import Assembly
from services.scheduler.deciding.plans import Plans
from services.scheduler.loops import folder as following
from shared.clock import utc_now
from shared.language.load import load
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from shared.store.writes.transaction import Store
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.servers import PostgresServer

STEPS = 20


def spec(number: int) -> str:
    """Return a workflow of 20 steps with what real ones have."""
    head = f"description: file {number}\ntags: [bench]\nenv: [{{REGION: eu}}]\nparams: [{{DAY: today}}]\nsteps:\n"
    step = (
        "  - name: step-{0}\n    command: echo {0} ${{DAY}}\n    output: OUT_{0}\n"
        "    retryPolicy: {{limit: 2, intervalSec: 5}}\n"
    )
    return head + "".join(step.format(one) for one in range(STEPS))


def _timed(count: int, work: Callable[[], object]) -> str:
    """Do the work; return how many files a second that was."""
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return f"{seconds:.2f} s, {count / seconds:.0f} files/s, {count / cpu:.0f} files per CPU second"


@contextmanager
def _database(kind: str, base: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{base}/dagway.db"
        return
    with PostgresServer(fsync=True) as server:
        yield server.create_database()


def _follow(url: str, dags: Path, texts: list[str]) -> None:
    migrate(url)
    parts = Assembly(Store(open_engine(url, pool_size=4)), EmbeddedTransport(None), Plans(), utc_now, ZoneInfo("UTC"))
    parsed = 0

    def counted(*args: object, **facts: object) -> object:
        nonlocal parsed
        parsed += 1
        return load(*args, **facts)  # type: ignore[arg-type]

    following.__dict__["load"] = counted
    follower = following.Folder(parts.shell, dags)
    for what in ("first look", "look at nothing new", "first look of a restarted scheduler"):
        if what.endswith("scheduler"):
            follower = following.Folder(parts.shell, dags)
        parsed = 0
        print(f"  {what}: {_timed(len(texts), follower.run_once)}, {parsed} parsed")

    def adopt() -> None:
        while parts.firing.adopt():
            pass

    print(f"  giving them schedules: {_timed(len(texts), adopt)}")


def main() -> None:
    """Load, follow, and look again."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    texts = [spec(number) for number in range(count)]
    told = _timed(count, lambda: [load(text, file_name="x.yaml").ok for text in texts])
    print(f"loading {count} files of {STEPS} steps: {told}")
    with tempfile.TemporaryDirectory() as name:
        dags = Path(name) / "dags"
        dags.mkdir()
        for number, text in enumerate(texts):
            (dags / f"d{number}.yaml").write_text(text)
        for kind in sys.argv[2:] or ("sqlite", "postgres"):
            print(f"followed folder, {kind}:")
            with _database(kind, Path(name)) as url:
                _follow(url, dags, texts)


if __name__ == "__main__":
    main()
