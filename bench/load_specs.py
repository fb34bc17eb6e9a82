"""``python -m bench.load_specs [files]``: how fast workflows of 20 steps load.

Also that unchanged ones are not loaded again.
"""

import sys
import tempfile
import time
from pathlib import Path
from zoneinfo import ZoneInfo

from services.scheduler import folder as following
from services.scheduler.plans import Plans
from services.scheduler.shell import Shell
from shared.clock import utc_now
from shared.spec.load import load
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from shared.store.tx import Store
from shared.transport.embedded import EmbeddedTransport

STEPS = 20


def spec(number: int) -> str:
    """Return a workflow of 20 steps with what real ones have."""
    head = f"description: file {number}\ntags: [bench]\nenv: [{{REGION: eu}}]\nparams: [{{DAY: today}}]\nsteps:\n"
    step = (
        "  - name: step-{0}\n    command: echo {0} ${{DAY}}\n    output: OUT_{0}\n"
        "    retryPolicy: {{limit: 2, intervalSec: 5}}\n"
    )
    return head + "".join(step.format(one) for one in range(STEPS))


def main() -> None:
    """Load, follow, and look again."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    texts = [spec(number) for number in range(count)]
    began = time.perf_counter()
    for text in texts:
        load(text, file_name="x.yaml")
    print(f"load: {count} files of {STEPS} steps, {count / (time.perf_counter() - began):.0f} files/s")
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        dags = base / "dags"
        dags.mkdir()
        for number, text in enumerate(texts):
            (dags / f"d{number}.yaml").write_text(text)
        url = f"sqlite:///{base}/dagway.db"
        migrate(url)
        shell = Shell(Store(open_engine(url, pool_size=4)), EmbeddedTransport(None), Plans(), utc_now, ZoneInfo("UTC"))
        parsed = 0

        def counted(*args: object, **facts: object) -> object:
            nonlocal parsed
            parsed += 1
            return load(*args, **facts)  # type: ignore[arg-type]

        following.__dict__["load"] = counted
        follower = following.Folder(shell, dags)
        for what in ("first look", "second look", "first look of a restarted scheduler"):
            if what != "second look":
                follower = following.Folder(shell, dags)
            parsed, began = 0, time.perf_counter()
            follower.look()
            seconds = time.perf_counter() - began
            print(f"{what}: {seconds:.2f} s, {parsed} files parsed, {count / seconds:.0f} files/s")


if __name__ == "__main__":
    main()
