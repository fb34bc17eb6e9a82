"""Draws plots with Matplotlib; ``bench.plots`` runs it where Matplotlib is installed.

``python -m bench.measuring.draw FOLDER FILE ...`` writes ``workloads.svg`` and ``scale.svg``, each if a file has its
figures.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

_WORKLOADS = {
    "w1": "w1, one run, ms\n(less is better)",
    "w2": "w2, runs/s",
    "w3": "w3, parallel steps/s",
    "w4": "w4, chain, ms a step\n(less is better)",
    "w5": "w5, steps/s with logs",
}
_OWN, _FLOOR, _OTHER = "#2563eb", "#9ca3af", "#f59e0b"


def _colour(contender: str) -> str:
    return _OWN if contender.startswith("Dagway") else _FLOOR if contender.startswith("floor") else _OTHER


def _workloads(measured: Sequence[Mapping[str, Any]], target: Path) -> None:
    """Draw a bar for the median of each contender, and a line from the least to the greatest value."""
    names = sorted({one["contender"] for one in measured}, key=lambda name: (_colour(name) != _OWN, name), reverse=True)
    shown = [key for key in _WORKLOADS if any(key in one["figures"] for one in measured)]
    figure, axes = plt.subplots(1, len(shown), figsize=(3 * len(shown), 0.32 * len(names) + 1), sharey=True)
    for axis, key in zip([axes] if len(shown) == 1 else axes, shown, strict=True):
        for place, name in enumerate(names):
            values = [one["figures"][key] for one in measured if one["contender"] == name and key in one["figures"]]
            if values:
                axis.barh(place, median(values), color=_colour(name))
                axis.plot([min(values), max(values)], [place, place], color="black", linewidth=1)
        axis.set_title(_WORKLOADS[key], fontsize=9)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.tick_params(axis="x", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    _save(figure, target)


def _scale(points: Sequence[Mapping[str, float]], target: Path) -> None:
    """Draw steps a second over the number of workers, a line for each number of schedulers."""
    figure, axis = plt.subplots(figsize=(5.5, 3.5))
    by_schedulers: dict[float, list[Mapping[str, float]]] = {}
    for point in points:
        by_schedulers.setdefault(point["schedulers"], []).append(point)
    for schedulers, line in by_schedulers.items():
        label = f"{schedulers:g} scheduler{'s' * (schedulers > 1)}"
        axis.plot([p["workers"] for p in line], [p["steps_a_second"] for p in line], marker="o", label=label)
    allowed = next(iter(by_schedulers.values()))
    axis.plot(
        [p["workers"] for p in allowed],
        [p["steps_a_second"] / p["of_slots"] for p in allowed],
        color="grey",
        linestyle="--",
        label="what the slots allow",
    )
    axis.set_xlabel("workers")
    axis.set_ylabel("steps of 1 s, a second")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, target)


def _save(figure: Any, target: Path) -> None:
    # Neither the time nor random ids: the same figures give the same file.
    figure.savefig(target, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    print(target)


def main() -> None:
    """Draw each plot from the last file that has its figures."""
    folder, *files = map(Path, sys.argv[1:])
    mpl.rcParams["svg.hashsalt"] = "dagway"
    mpl.rcParams["svg.fonttype"] = "none"
    for results in (json.loads(file.read_text(encoding="utf-8")) for file in files):
        # Those that run fewer need so much longer that all other bars would be of the same length.
        usual = results["conditions"]["sizes"]
        if measured := [one for one in results["measured"] if one.get("sizes", usual) == usual]:
            _workloads(measured, folder / "workloads.svg")
        if "scale" in results:
            _scale(results["scale"], folder / "scale.svg")


if __name__ == "__main__":
    main()
