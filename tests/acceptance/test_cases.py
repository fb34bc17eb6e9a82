"""All cases of the reference run at the same time, in one system per deployment."""

import re
from pathlib import Path

import pytest

from services.scheduler.core.children import child_run_id
from shared.contracts import commands as c
from tests.acceptance.cases import CASES, ELSEWHERE, REFUSED
from tests.acceptance.world import Case, World

ROOT = Path(__file__).parents[2]
ROWS = [f"A{number:02}" for number in range(1, 93)]


def _row(name: str) -> str:
    return name.split(maxsplit=1)[0]


@pytest.mark.timeout(600)
def test_every_case_ends_as_the_reference_says(world: World, subtests: pytest.Subtests) -> None:
    for refusal in REFUSED:
        with subtests.test(row=refusal.row):
            reply = world.ask(c.CreateDag(file_name=refusal.row.lower().replace(" ", "-"), spec=refusal.spec))
            assert reply.error is not None
            assert reply.error.code == "bad_request"
            assert refusal.words in reply.error.message
    for case in CASES:
        world.begin(case)
    for case in CASES:
        with subtests.test(row=case.row, about=case.about):
            _check(world, case)


def _check(world: World, case: Case) -> None:
    seen = world.ended(case)
    outcomes = {name: (row["status"], row["error"]) for name, row in seen.nodes.items()}
    assert not case.status or seen.status == case.status, (seen.run["error"], outcomes)
    case.check(seen)


def test_every_row_of_the_reference_has_a_case() -> None:
    names = [*(case.row for case in CASES), *(refusal.row for refusal in REFUSED)]
    held = {_row(name) for name in names} | ELSEWHERE.keys()
    assert sorted(set(ROWS) - held) == []
    assert all(re.fullmatch(r"[AT]\d*", _row(name)) for name in names)


@pytest.mark.parametrize(("row", "place"), ELSEWHERE.items())
def test_a_row_tested_elsewhere_is_there(row: str, place: str) -> None:
    path, _, name = place.partition("::")
    text = (ROOT / path).read_text()
    assert (f"def {name}(" if name else f'"{row}') in text


def test_the_id_of_a_sub_run_is_made_as_the_reference_says() -> None:
    assert child_run_id("run-1", "scan", 'K="v"') == "67wCdoVm7ofFaMVr6dr8f9zafBcCCL4ytYFPPbrRt8ic"
