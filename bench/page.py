"""``python -m bench.page [--steps 1000 5000] [--dags 2000] [--loads 5]``: how soon the web pages show their data.

Each page is opened by a new Chromium profile, so with an empty cache, on one ``dagway up`` on this machine. Medians of:

paint     navigation to the first pixels of text (first contentful paint)
content   navigation until the page shows its data, not a loading sign
requests  requests until then
weight    bytes of their answers as sent, compressed, of all files and data
at rest   CPU time of the page's main thread while nothing happens, as a share of one CPU, over 20 s: most
          pages ask again every 10 s or less
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

from tests.harness.browser import browser
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually

_SETTLES_S = 2.0
_REST_S = 20.0
_PATIENCE_S = 600
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


@dataclass(frozen=True, slots=True)
class Load:
    """One load of a page: times in ms, bytes, a share of one CPU in percent."""

    paint_ms: float
    content_ms: float
    requests: int
    weight: int
    at_rest: float


def _load(started: Browser, url: str, content: str) -> Load:
    context = started.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    try:
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_S * 1000)
        devtools = context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.send("Performance.enable")
        sizes: list[int] = []
        devtools.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
        began = time.perf_counter()
        page.goto(url)
        page.locator(content).first.wait_for()
        content_ms = (time.perf_counter() - began) * 1000
        requests, weight = len(sizes), sum(sizes)

        def busy_s() -> float:
            metrics = devtools.send("Performance.getMetrics")["metrics"]
            return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")

        page.wait_for_timeout(_SETTLES_S * 1000)  # what follows the first view, such as compiling and the first changes
        before = busy_s()
        page.wait_for_timeout(_REST_S * 1000)
        at_rest = 100 * (busy_s() - before) / _REST_S
        return Load(float(page.evaluate(_PAINT)), content_ms, requests, weight, at_rest)
    finally:
        context.close()


def _fill(system: Embedded, dags: Path, steps: list[int]) -> None:
    client = system.client
    for count in steps:
        # In layers of 50, each of which waits for the one before.
        lines = [
            f"  - {{name: s{n}, command: 'true'{f', depends: [s{n - 50}]' if n >= 50 else ''}}}" for n in range(count)
        ]
        (dags / f"steps-{count}.yaml").write_text("type: graph\nsteps:\n" + "\n".join(lines) + "\n")
    for count in steps:
        name = f"steps-{count}"
        eventually(lambda one=name: client.ask("GET", f"/dags/{one}").status == 200, timeout_s=_PATIENCE_S)  # type: ignore[misc]
        client.start(name)
        eventually(
            lambda one=name: client.run(one, "r1").get("statusLabel") == "succeeded",  # type: ignore[misc]
            timeout_s=_PATIENCE_S,
            every_s=0.5,
        )


def main() -> None:
    """Measure all pages, and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[1000, 5000], help="sizes of runs")
    parser.add_argument("--dags", type=int, default=2000, help="how many DAGs there are")
    parser.add_argument("--loads", type=int, default=5, help="how often each page is opened")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as folder:
        dags = Path(folder) / "dags"
        dags.mkdir()
        for number in range(asked.dags):
            (dags / f"dag{number:05}.yaml").write_text("tags: [bench]\nsteps: ['true']\n")
        with Embedded(Path(folder) / "system", env={"DAGWAY_DAGS_DIR": str(dags)}) as system, browser() as started:
            _fill(system, dags, asked.steps)
            root = f"http://127.0.0.1:{system.process.env['DAGWAY_PORT']}"
            pages = {
                "Home": ("#/home", ".counters"),
                f"{asked.dags} DAGs": ("#/dags", "table.dags tbody tr"),
                "Runs": ("#/runs", "table.runs tbody tr"),
                "Spec, with the editor": (f"#/dags/steps-{asked.steps[0]}?tab=spec", ".cm-line, .editor textarea"),
                **{
                    f"Run of {count} steps": (f"#/runs/steps-{count}/r1", "[data-painted], .graph .node")
                    for count in asked.steps
                },
            }
            print(f"{'page':24}{'paint':>10}{'content':>10}{'requests':>10}{'weight':>10}{'at rest':>10}")
            for name, (place, content) in pages.items():
                loads = [_load(started, f"{root}/{place}", content) for _ in range(asked.loads)]

                def median(field: str, of: list[Load] = loads) -> float:
                    return statistics.median(float(getattr(load, field)) for load in of)

                print(
                    f"{name:24}{median('paint_ms'):7.0f} ms{median('content_ms'):7.0f} ms{median('requests'):10.0f}"
                    f"{median('weight') / 1000:7.0f} kB{median('at_rest'):8.1f} %"
                )


if __name__ == "__main__":
    main()
