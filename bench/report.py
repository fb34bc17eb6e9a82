"""``python -m bench.report FILE [--write]``: results of ``bench`` or ``bench.compare`` as tables, also in the docs."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["marks", "replaced", "table"]

_PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_FIGURES = {
    "w1": "w1, ms",
    "w2": "w2, runs/s",
    "w3": "w3, steps/s",
    "w4": "w4, ms a step",
    "details": "details of w4, ms",
}
_SIZES = {"w1": "single", "w2": "many", "w3": "wide", "w4": "chain"}
_LARGE = {
    "w5": "w5, steps/s",
    "w7": "w7, s until all run",
    "w7 MB": "w7, MB for each",
    "w7 own MB": "w7, MB without the steps' processes",
    "logs": "log, MB/s",
}
_MOMENTS = {"w5": ("before", "after"), "logs": ("before", "peak")}
_FLOOR = "floor"


def table(results: Mapping[str, Any]) -> str:
    """Return the results as Markdown: medians over the rounds with the smallest and largest value."""
    small, large = _by_name(results, "w1"), _by_name(results, "w5")
    lines = [_machine(results)]
    if small:
        times = _times(small, results["conditions"]["sizes"])
        lines += [*_small_work(results), "", *times, "", *_cpu(small), *_phases(small)]
    if large:
        lines += [""] * bool(small) + [*_large_work(results), "", *_large_times(large), "", *_memory(large)]
    for part, rows in {"scale": _scale, "reads": _reads, "idle": _idle}.items():
        if part in results:
            lines += ["", *rows(results[part])]
    return "\n".join(lines)


def _by_name(results: Mapping[str, Any], key: str) -> dict[str, list[Mapping[str, Any]]]:
    """Return the rounds of each contender that ran a workload."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for one in sorted(results["measured"], key=lambda one: one["contender"]):
        if key in one["figures"]:
            by_name.setdefault(one["contender"], []).append(one)
    return by_name


def marks(kind: str) -> tuple[str, str]:
    """Return the lines between which the page has the results of ``bench.compare`` or ``bench`` (``kind``)."""
    return f"<!-- written by {kind}: begin -->", f"<!-- written by {kind}: end -->"


def replaced(page: str, kind: str, text: str) -> str:
    """Return the page with ``text`` between the marks of ``kind``. Raises ``ValueError`` if it has none."""
    begin, end = marks(kind)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no lines {begin!r} and {end!r}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def _machine(results: Mapping[str, Any]) -> str:
    facts = results["conditions"]
    loads = [one["load"] for one in results["measured"]] or [facts["load"]]
    files = f", files on {facts['file_system']}" if "file_system" in facts else ""
    machine = f"Measured {facts['at'][:10]} on {facts['cores']} cores with Python {facts['python']}{files}:"
    rounds = f"{facts['rounds']} round{'s' * (facts['rounds'] > 1)}"
    return f"{machine} {rounds}, load {min(loads)} to {max(loads)}, {facts['workers']} workers."


def _small_work(results: Mapping[str, Any]) -> Iterable[str]:
    sizes = results["conditions"]["sizes"]
    work = (
        f"w1: {sizes['single']} runs of one step, one by one. w2: {sizes['many']} of them by 8 clients. w3: one run of"
    )
    yield f"{work} {sizes['wide']} parallel steps. w4: {sizes['chain']} steps in a chain."


def _large_work(results: Mapping[str, Any]) -> Iterable[str]:
    facts, sizes = results["conditions"], results["conditions"]["large_sizes"]
    yield f"w5: {sizes['runs']} runs at once of {sizes['steps']} steps in a chain, {sizes['lines']} lines each."
    on = f"on {facts['large_workers']} workers (embedded: one)"
    yield f"w7: {sizes['sleeps']} steps `sleep 30` at once {on}, memory for each."
    yield f"Log: one step that writes {sizes['log_mb']} MB, until its last line can be read."


def _times(by_name: Mapping[str, list[Mapping[str, Any]]], usual: Mapping[str, int]) -> Iterable[str]:
    floor = {key: _median(by_name.get(_FLOOR, []), key) for key in _FIGURES}
    yield "| | " + " | ".join(_FIGURES.values()) + " |"
    yield "| --- |" + " --- |" * len(_FIGURES)
    for name, rounds in by_name.items():
        cells = [_cell(rounds, key, None if name == _FLOOR else floor[key]) for key in _FIGURES]
        failed = int(sum(one["figures"]["w2 failed"] for one in rounds))
        sizes = rounds[0].get("sizes", usual)
        own = ", ".join(f"{key} {sizes[size]}" for key, size in _SIZES.items())
        remarks = [own] * (sizes != usual) + [f"{failed} runs of w2 failed"] * bool(failed)
        yield f"| {_remarked(name, remarks)} | " + " | ".join(cells) + " |"


def _remarked(name: str, remarks: Iterable[str]) -> str:
    said = ", ".join(remarks)
    return f"{name} ({said})" if said else name


def _median(rounds: Iterable[Mapping[str, Any]], key: str) -> float | None:
    values = [one["figures"][key] for one in rounds if key in one["figures"]]
    return median(values) if values else None


def _cell(rounds: Iterable[Mapping[str, Any]], key: str, floor: float | None) -> str:
    values = sorted(one["figures"][key] for one in rounds if key in one["figures"])
    if not values:
        return ""
    middle = median(values)
    share = middle / floor if floor else 0.0
    ratio = f", {share:.0f} of floor" if share >= 10 else f", {share:.2g} of floor" if share else ""
    return f"{_short(middle)} ({_short(values[0])} to {_short(values[-1])}{ratio})"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _cpu(by_name: Mapping[str, list[Mapping[str, Any]]]) -> Iterable[str]:
    yield "CPU time, core-ms for each run (w2) and step (w4), medians:"
    yield ""
    yield "| | w2 | of which | w4 | of which |"
    yield "| --- | --- | --- | --- | --- |"
    for name, rounds in by_name.items():
        if not rounds[0]["core_ms"]["w2"]:
            continue  # Its processes are not known: it was measured at a URL.
        cells: list[str] = []
        for workload in ("w2", "w4"):
            spent = [one["core_ms"][workload] for one in rounds]
            parts = {kind: median(one[kind] for one in spent) for kind in spent[0]}
            cells += [_short(sum(parts.values())), ", ".join(f"{kind} {value:.1f}" for kind, value in parts.items())]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _large_times(by_name: Mapping[str, list[Mapping[str, Any]]]) -> Iterable[str]:
    floor = {key: _median(by_name.get(_FLOOR, []), key) for key in _LARGE}
    yield "| | " + " | ".join(_LARGE.values()) + " |"
    yield "| --- |" + " --- |" * len(_LARGE)
    for name, rounds in by_name.items():
        failed = int(sum(one["figures"]["w5 failed"] for one in rounds))
        # Not all steps of w7 ran at once: the first had ended before the last began.
        fewer = min(one["figures"].get("w7 running", 1) / one["figures"].get("w7 asked", 1) for one in rounds)
        remarks = [f"{failed} runs of w5 failed"] * bool(failed) + [f"at most {fewer:.0%} of w7 at once"] * (fewer < 1)
        cells = [_cell(rounds, key, None if name == _FLOOR else floor[key]) for key in _LARGE]
        yield f"| {_remarked(name, remarks)} | " + " | ".join(cells) + " |"


def _memory(by_name: Mapping[str, list[Mapping[str, Any]]]) -> Iterable[str]:
    yield "Memory in MB (shared pages count once), medians: before and after w5, before the log and at its most:"
    yield ""
    yield "| | w5 | of which | log | of which |"
    yield "| --- | --- | --- | --- | --- |"
    for name, rounds in by_name.items():
        if not rounds[0]["memory_mb"]["w5"]["before"]:
            continue  # measured at a URL
        cells = []
        for workload, moments in _MOMENTS.items():
            spent = [one["memory_mb"][workload] for one in rounds if workload in one["memory_mb"]]
            if not spent:
                cells += ["", ""]  # The floor runs w5 alone.
                continue
            parts = {
                kind: [median(one[moment][kind] for one in spent) for moment in moments]
                for kind in spent[0][moments[0]]
            }
            sums = [sum(of_kind) for of_kind in zip(*parts.values(), strict=True)]
            cells += [_change(sums), ", ".join(f"{kind} {_change(values)}" for kind, values in parts.items())]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _change(values: Iterable[float]) -> str:
    return " → ".join(f"{value:.0f}" for value in values)


def _phases(by_name: Mapping[str, list[Mapping[str, Any]]]) -> Iterable[str]:
    found = {name: [one["phases_ms"] for one in rounds if one["phases_ms"]] for name, rounds in by_name.items()}
    if not any(found.values()):
        return
    yield ""
    title = "The phases of a run of one step with `wait=`, in ms, medians of the rounds' means"
    yield f"{title} (`dagway_run_phase_seconds`):"
    yield ""
    names = [phase for phase in next(rounds for rounds in found.values() if rounds)[0] if phase != "client"]
    yield "| | " + " | ".join(name.replace("_", " → ") for name in names) + " | explained |"
    yield "| --- |" + " --- |" * (len(names) + 1)
    for name, rounds in found.items():
        if rounds:
            means = [median(one[phase] for one in rounds) for phase in names]
            share = median(sum(one[phase] for phase in names) / one["client"] for one in rounds)
            yield f"| {name} | " + " | ".join(f"{value:.1f}" for value in means) + f" | {share:.0%} |"


def _scale(points: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Yield a table with a row for each number of schedulers and a column for each number of workers."""
    rows: dict[int, list[Mapping[str, Any]]] = {}
    for point in points:
        rows.setdefault(point["schedulers"], []).append(point)
    workers = [point["workers"] for point in next(iter(rows.values()))]
    yield "Steps `sleep 1` a second, and the share of what the slots allow:"
    yield ""
    yield "| schedulers | " + " | ".join(f"{count} worker{'s' * (count > 1)}" for count in workers) + " |"
    yield "| --- |" + " --- |" * len(workers)
    for schedulers, measured in rows.items():
        cells = [f"{_short(one['steps_a_second'])} ({one['of_slots']:.0%})" for one in measured]
        yield f"| {schedulers} | " + " | ".join(cells) + " |"


def _reads(reads: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    yield f"w6: reads with {reads[0]['runs']:,} runs at {reads[0]['rate']} requests/s, in ms:"
    yield ""
    yield "| read | p50 | p99 | CPU time of the gateway |"
    yield "| --- | --- | --- | --- |"
    for one in reads:
        yield f"| {one['read']} | " + " | ".join(_short(one[key]) for key in ("p50", "p99", "core_ms")) + " |"


def _idle(found: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    [idle] = found
    total, parts = sum(idle["core"].values()), idle["core"].items()
    yield "w8: two schedulers, four workers and a gateway with 1,000 scheduled DAGs, none of them due:"
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    yield f"| CPU time | {total:.2%} of a core: {', '.join(f'{kind} {share:.2%}' for kind, share in parts)} |"
    yield f"| Postgres | {idle['transactions']:.2f} transactions/s, {idle['fsyncs']:.2f} syncs/s |"
    yield f"| memory of each | {', '.join(f'{kind} {mb:.0f} MB' for kind, mb in idle['mb'].items())} |"


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--write", action="store_true", help="put them into docs/performance.md")
    asked = parser.parse_args()
    results = json.loads(asked.file.read_text())
    text = table(results)
    if asked.write:
        _PAGE.write_text(replaced(_PAGE.read_text(), results["conditions"]["by"], text))
    else:
        print(text)


if __name__ == "__main__":
    main()
