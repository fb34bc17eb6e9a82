"""``runConfig`` holds for every way in which a request starts a run, asked of a whole system over HTTP."""

import pytest

from tests.conformance.rest_live import Live

FIXED = "runConfig: {disableParamEdit: true, disableRunIdEdit: true}\nparams: A=1\nsteps:\n  - echo hi\n"
CHOSEN = {"dagRunId": "chosen"}
INLINE = {"spec": FIXED, "name": "inline"}


@pytest.fixture(scope="module")
def run_id(live: Live) -> str:
    live.dag("fixed", FIXED)
    run_id = live.start("fixed")
    live.until("fixed", run_id, 4)
    return run_id


def test_no_request_chooses_what_the_run_config_forbids(live: Live, run_id: str) -> None:
    refused = (
        ("/dags/fixed/start", CHOSEN),
        ("/dags/fixed/start-sync", {**CHOSEN, "timeout": 9}),
        ("/dags/fixed/enqueue", {"params": "A=2"}),
        ("/dag-runs", {**INLINE, **CHOSEN}),
        ("/dag-runs/enqueue", {**INLINE, "params": "A=2"}),
        (f"/dag-runs/fixed/{run_id}/reschedule", CHOSEN),
        (f"/dag-runs/fixed/{run_id}/retry", CHOSEN),
    )
    for path, body in refused:
        assert (path, live.refused("POST", path, body)) == (path, (400, "bad_request"))

    assert live.ask("GET", "/dag-runs/fixed/chosen").status_code == 404


def test_a_request_that_chooses_nothing_is_not_refused(live: Live, run_id: str) -> None:
    live.post("/dags/fixed/enqueue", {"params": "A=1"})
    live.post("/dag-runs", {**INLINE, "params": {"A": "1"}})
    live.post(f"/dag-runs/fixed/{run_id}/reschedule")
    live.post(f"/dag-runs/fixed/{run_id}/retry", {"dagRunId": run_id})
