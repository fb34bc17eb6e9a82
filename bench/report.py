"""``python -m bench.report FILE [--write]``: the results of ``bench.compare`` as tables, printed or in the docs."""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["BEGIN", "END", "replaced", "table"]

BEGIN, END = "<!-- written by python -m bench.report: begin -->", "<!-- written by python -m bench.report: end -->"
_PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_FIGURES = {
    "w1": "w1, ms",
    "w1 wait": "w1 `wait=`, ms",
    "w2": "w2, runs/s",
    "w3": "w3, steps/s",
    "w4": "w4, ms a step",
}
_FLOOR = "floor"


def table(results: Mapping[str, Any]) -> str:
    """Return the results as Markdown: medians over the rounds with the smallest and largest value."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for one in sorted(results["measured"], key=lambda one: one["contender"]):
        by_name.setdefault(one["contender"], []).append(one)
    return "\n".join([*_conditions(results), "", *_times(by_name), "", *_processor(by_name), *_hops(by_name)])


def replaced(page: str, text: str) -> str:
    """Return the page with ``text`` between the marks. Raises ``ValueError`` if it has no marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def _conditions(results: Mapping[str, Any]) -> list[str]:
    facts, sizes = results["conditions"], results["conditions"]["sizes"]
    loads = [one["load"] for one in results["measured"]]
    machine = f"Measured {facts['at'][:10]} on {facts['cores']} cores with Python {facts['python']}:"
    work = (
        f"w1: {sizes['single']} runs of one step, one by one. w2: {sizes['many']} of them by 8 clients. w3: one run of"
    )
    return [
        f"{machine} {facts['rounds']} rounds, load {min(loads)} to {max(loads)}, {facts['workers']} workers.",
        f"{work} {sizes['wide']} parallel steps. w4: {sizes['chain']} steps in a chain.",
    ]


def _times(by_name: Mapping[str, list[Mapping[str, Any]]]) -> Iterable[str]:
    floor = {key: _median(by_name.get(_FLOOR, []), key) for key in _FIGURES}
    yield "| | " + " | ".join(_FIGURES.values()) + " |"
    yield "| --- |" + " --- |" * len(_FIGURES)
    for name, rounds in by_name.items():
        cells = [_cell(rounds, key, None if name == _FLOOR else floor[key]) for key in _FIGURES]
        failed = int(sum(one["figures"]["w2 failed"] for one in rounds))
        yield f"| {name}{f' ({failed} runs of w2 failed)' if failed else ''} | " + " | ".join(cells) + " |"


def _median(rounds: Iterable[Mapping[str, Any]], key: str) -> float | None:
    values = [one["figures"][key] for one in rounds if key in one["figures"]]
    return median(values) if values else None


def _cell(rounds: Iterable[Mapping[str, Any]], key: str, floor: float | None) -> str:
    values = sorted(one["figures"][key] for one in rounds if key in one["figures"])
    if not values:
        return ""
    middle = median(values)
    ratio = f", {middle / floor:.2g} of floor" if floor else ""
    return f"{_short(middle)} ({_short(values[0])} to {_short(values[-1])}{ratio})"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _processor(by_name: Mapping[str, list[Mapping[str, Any]]]) -> Iterable[str]:
    yield "Processor time, core-ms for each run (w2) and step (w4), medians:"
    yield ""
    yield "| | w2 | of which | w4 | of which |"
    yield "| --- | --- | --- | --- | --- |"
    for name, rounds in by_name.items():
        cells = []
        for workload in ("w2", "w4"):
            spent = [one["core_ms"][workload] for one in rounds]
            parts = {kind: median(one[kind] for one in spent) for kind in spent[0]}
            cells += [_short(sum(parts.values())), ", ".join(f"{kind} {value:.1f}" for kind, value in parts.items())]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _hops(by_name: Mapping[str, list[Mapping[str, Any]]]) -> Iterable[str]:
    found = {name: [one["hops_ms"] for one in rounds if one["hops_ms"]] for name, rounds in by_name.items()}
    if not any(found.values()):
        return
    yield ""
    yield "The hops of a run of one step with `wait=`, in ms, medians of the rounds' means (`dagway_hop_seconds`):"
    yield ""
    names = [hop for hop in next(rounds for rounds in found.values() if rounds)[0] if hop != "client"]
    yield "| | " + " | ".join(name.replace("_", " → ") for name in names) + " | explained |"
    yield "| --- |" + " --- |" * (len(names) + 1)
    for name, rounds in found.items():
        if rounds:
            means = [median(one[hop] for one in rounds) for hop in names]
            share = median(sum(one[hop] for hop in names) / one["client"] for one in rounds)
            yield f"| {name} | " + " | ".join(f"{value:.1f}" for value in means) + f" | {share:.0%} |"


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--write", action="store_true", help="put them into docs/performance.md")
    asked = parser.parse_args()
    text = table(json.loads(asked.file.read_text()))
    if asked.write:
        _PAGE.write_text(replaced(_PAGE.read_text(), text))
    else:
        print(text)


if __name__ == "__main__":
    main()
