"""``python -m bench.hot_paths [--write]``: where the time of a run of one step goes, with separate services.

One scheduler, one gateway and two workers run w2. Printed are the CPU time of each thread, and the statements
that reach Postgres with their plans. ``--write`` puts them into ``docs/hot-paths.md`` and draws a flame graph of each
service into ``docs/plots``. pip installs py-spy into an environment of its own; on Linux it needs root.
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from bench.loads.small import ApiClient
from bench.measuring.environment import environment
from bench.measuring.flame import flame
from bench.measuring.statements import explain_all, statements
from bench.measuring.threads import ThreadTimes
from bench.report import replaced
from bench.systems.contenders import WORKERS
from bench.systems.history import fill
from bench.systems.rig import Rig, Servers, distributed, servers

_DOCS = Path(__file__).parents[1] / "docs"
_PAGE = _DOCS / "hot-paths.md"
_PACKAGES = ("py-spy==0.4.3",)
_RUNS = 600
_EXPLAINED_RUNS = 100
_HISTORY = 50_000
"""So many runs are in the database, so that Postgres plans as for tables of their usual size."""
_SAMPLES_A_SECOND, _SAMPLED_S = 250, 20
_LEAST_MS = 0.01
"""Threads with less for each run are left out."""
_SHOWN = 12
_LONGEST = 160
_LINE = re.compile(r":\d+\)$")


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(prog="python -m bench.hot_paths", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/hot-paths.md and docs/plots")
    write = parser.parse_args().write
    with ExitStack() as stack:
        py_spy = stack.enter_context(environment(_PACKAGES)).with_name("py-spy")
        used = stack.enter_context(servers())
        with used.rabbit.vhost() as vhost, distributed(1, 1, WORKERS, on=used, vhost=vhost) as rig:
            client = ApiClient(rig.url, own=True)
            lines = [*_threads(rig, client, py_spy), ""]
            if write:
                _draw_flames(rig, client, py_spy)
        lines += _statements(used)
    text = "\n".join(lines)
    if write:
        _PAGE.write_text(replaced(_PAGE.read_text(), "bench.hot_paths", text))
    else:
        print(text)


def _threads(rig: Rig, client: ApiClient, py_spy: Path) -> Iterable[str]:
    client.many(_RUNS)
    times = ThreadTimes(rig.pids, py_spy)
    client.many(_RUNS)
    yield "| service | thread | core-ms for each run |"
    yield "| --- | --- | --- |"
    for service, spent in times.since().items():
        for name, seconds in spent.items():
            if (ms := seconds / _RUNS * 1000) >= _LEAST_MS:
                yield f"| {service} | {name} | {ms:.2f} |"


def _draw_flames(rig: Rig, client: ApiClient, py_spy: Path) -> None:
    """Draw the flame graph of one process of each service, while runs are started.

    A thread without the interpreter's lock is left out: it waits, or a call of C takes time beside the others.
    """
    for service, pids in rig.pids.items():
        with tempfile.NamedTemporaryFile(prefix="dagway-bench-") as raw:
            argv = [
                str(py_spy), "record", "--format", "raw", "--output", raw.name, "--pid", str(pids[0]),
                "--rate", str(_SAMPLES_A_SECOND), "--duration", str(_SAMPLED_S), "--threads", "--gil",
            ]  # fmt: skip
            with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as recording:
                while recording.poll() is None:
                    client.many(_EXPLAINED_RUNS)
            stacks = [_stack(line) for line in Path(raw.name).read_text(encoding="utf-8").splitlines()]
        seen = sum(count for _, count in stacks)
        title = f"{service}: {seen} samples of the thread that held the interpreter's lock, one process"
        (_DOCS / "plots" / f"hot-{service}.svg").write_text(flame(stacks, title))


def _stack(line: str) -> tuple[list[str], int]:
    """Return the functions of a line of py-spy's format "raw", the thread first and without line numbers."""
    stack, _, count = line.rpartition(" ")
    thread, *frames = stack.split(";")
    name = re.sub(r"^.*: |[-_]w?\d+", "", thread)
    return [name, *(_LINE.sub(")", frame) for frame in frames if "threading.py" not in frame)], int(count)


def _statements(used: Servers) -> Iterable[str]:
    """Run the workload in a system whose statements are all logged with their plans."""
    explain_all(used.postgres)
    with used.rabbit.vhost() as vhost, distributed(1, 1, WORKERS, on=used, vhost=vhost) as rig:
        client = ApiClient(rig.url, own=True)
        fill(rig.engine.url.render_as_string(hide_password=False), _HISTORY)
        client.many(_EXPLAINED_RUNS)
        begin = used.postgres.log.stat().st_size
        client.many(_EXPLAINED_RUNS)
    found = statements(used.postgres.log, begin)
    yield "| calls for each run | ms a call | statement | plan |"
    yield "| --- | --- | --- | --- |"
    for one in found[:_SHOWN]:
        calls, ms = one.calls / _EXPLAINED_RUNS, one.ms / one.calls
        yield f"| {calls:.2f} | {ms:.2f} | `{_shortened(one.own_text)}` | {'; '.join(one.steps)} |"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


if __name__ == "__main__":
    main()
