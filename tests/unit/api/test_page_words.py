"""The words and numbers that the web pages list are those of the server."""

import re
from pathlib import Path
from typing import get_args

from shared.roles import ROLES
from shared.status import NODE_LABELS, RUN_LABELS, FireOutcome

WEB = Path(__file__).parents[3] / "services/api/web"


def constant(file: str, name: str) -> str:
    found = re.search(rf"const {name} = (\[.*?\]);", (WEB / file).read_text(), re.DOTALL)
    assert found is not None, f"{file} has no {name}"
    return found[1]


def words(file: str, name: str) -> list[str]:
    return re.findall(r'"(\w+)"', constant(file, name))


def test_a_step_status_has_the_number_that_the_server_gives_it() -> None:
    assert words("status.js", "NODE_LABELS") == list(NODE_LABELS)


def test_one_can_look_for_runs_of_each_status_that_a_listed_run_can_have() -> None:
    pairs = re.findall(r'\[(\d+), "(\w+)"\]', constant("status.js", "RUN_STATUSES"))
    assert {(int(number), label) for number, label in pairs} == {*enumerate(RUN_LABELS)} - {(0, "not_started")}


def test_the_roles_are_in_their_order() -> None:
    assert words("session.js", "ROLES") == list(ROLES)


def test_a_month_counts_each_outcome_of_a_scheduled_time() -> None:
    assert set(words("views/month.js", "OUTCOMES")) == set(get_args(FireOutcome))
