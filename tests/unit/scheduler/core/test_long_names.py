"""A run is refused if the name of its queue or pool does not fit into the database together with its workspace."""

from typing import Any

import pytest

from services.scheduler.core.plan import Plan
from services.scheduler.deciding.creation import new_run
from shared.errors import InvalidInput
from tests.unit.scheduler.core.stage import T0, make_dag, step


def made(dag_name: str, **facts: Any) -> Any:
    dag = make_dag(step("s", pool=("p" * facts.pop("pool", 1),)), **facts)
    return new_run(Plan(dag), run_key="k", dag_name=dag_name, dag_run_id="r", given="", queue=None, queued=True, now=T0)


def test_names_that_fit_are_taken() -> None:
    assert made("etl", pool=100, queue="q" * 200).queue == "q" * 200
    assert made("acme␟etl", pool=95, queue="q" * 195).queue == "acme␟" + "q" * 195


def test_a_longer_name_is_refused_with_its_field() -> None:
    with pytest.raises(InvalidInput, match="^pool: a name in the workspace acme must have at most 95 characters"):
        made("acme␟etl", pool=96)
    with pytest.raises(InvalidInput, match="^queue: a name in the workspace acme must have at most 195 characters"):
        made("acme␟etl", queue="q" * 196)
    with pytest.raises(InvalidInput, match="^queue: a name must have at most 200 characters"):
        made("etl", queue="q" * 201)
