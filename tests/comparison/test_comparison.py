"""Random workflows give the same result in Dagway and in a real Dagu, but for the documented differences.

``COMPARE_DAGU`` names the program of Dagu; without it the comparison is skipped, and says so.
``COMPARE_URL`` is the base URL of a running Dagway (default: one of the test's own on each deployment),
``COMPARE_COUNT`` the number of workflows, ``COMPARE_SEED`` the seed.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.comparison.differences import DIFFERENCES, TARGET, document
from tests.comparison.sides import Side, dagu
from tests.comparison.workflows import FAMILIES, Workflow, workflows
from tests.harness.cluster import Cluster, Deployment, Embedded
from tests.harness.eventually import eventually

SEED = int(os.environ.get("COMPARE_SEED", "20261127"))
_AT_ONCE = 4
_LATE_S = 20.0
COUNT = int(os.environ.get("COMPARE_COUNT", "36"))


def test_the_page_of_differences_is_that_of_the_table() -> None:
    assert TARGET.read_text() == document(), "run python -m tests.comparison.differences"


def test_the_families_are_many_and_name_known_differences() -> None:
    shown = {name for _, may_show in FAMILIES.values() for name in may_show}
    assert len(FAMILIES) >= 14
    assert shown == {each.name for each in DIFFERENCES if each.name}
    assert [*workflows(1, 40)] == [*workflows(1, 40)] != [*workflows(2, 40)]


@contextmanager
def dagway(deployment: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Side]:
    if deployment == "given":
        yield Side(os.environ["COMPARE_URL"])
        return
    if deployment == "embedded":
        system: Deployment = Embedded(folder)
    else:
        rabbit, postgres = request.getfixturevalue("rabbit_server"), request.getfixturevalue("postgres_server")
        system = Cluster(folder, rabbit, postgres)
    with system:
        yield Side(system.client.base)


@pytest.mark.timeout(120 + 30 * COUNT)
@pytest.mark.parametrize("deployment", ["given"] if os.environ.get("COMPARE_URL") else ["embedded", "distributed"])
def test_random_workflows_give_the_same_result(
    deployment: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = os.environ.get("COMPARE_DAGU", "")
    if not program:
        pytest.skip("NOT COMPARED WITH DAGU: set COMPARE_DAGU to the path of a Dagu 1.30.2")
    counts: Counter[tuple[str, str]] = Counter()
    unexplained = []
    (tmp_path / "theirs").mkdir()
    with (
        dagway(deployment, tmp_path / "dagway", request) as ours,
        dagu(Path(program), tmp_path / "theirs") as theirs,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):

        def compared(numbered: tuple[int, Workflow]) -> tuple[Workflow, dict[str, Any], dict[str, Any]]:
            number, workflow = numbered
            name = f"w{SEED}-{number}"
            mine, real = ours.result(name, workflow.spec), theirs.result(name, workflow.spec)
            if "status" in real and real != mine:
                # Dagu stores outputs, and at times the end of a log, after the last status of a run.
                with suppress(AssertionError):
                    real = eventually(lambda: _same(theirs.seen(name), mine), timeout_s=_LATE_S)
            return workflow, mine, real

        for workflow, mine, real in pool.map(compared, enumerate(workflows(SEED, COUNT))):
            parts = {part: (real.get(part), mine.get(part)) for part in real | mine}
            shown = {part: both for part, both in parts.items() if both[0] != both[1]}
            may = {part for each in DIFFERENCES if each.name in workflow.may_show for part in each.parts}
            kind = "equal" if not shown else "documented" if shown.keys() <= may else "different"
            counts[workflow.family, kind] += 1
            if kind == "different":
                unexplained.append(f"{workflow.family}:\n{workflow.spec}\n(Dagu, Dagway): {shown}")
    with capsys.disabled():
        kinds = Counter(dict.fromkeys(("equal", "documented", "different"), 0))
        for (_, kind), many in counts.items():
            kinds[kind] += many
        sys.stdout.write(
            f"\ncompared {COUNT} workflows of {len(FAMILIES)} families, {deployment}, seed {SEED}: {dict(kinds)}\n"
        )
    assert unexplained == [], "\n\n".join(unexplained)


def _same(real: dict[str, Any], mine: dict[str, Any]) -> dict[str, Any]:
    assert real == mine
    return real
