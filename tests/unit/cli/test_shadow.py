"""Beside a live Dagu: plans and scheduled times are compared, and a workflow moves between two of its times."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from services.cli.errors import GatewayError, GatewayUnreachable
from services.cli.remote.cutting_over import CutOver, Workflow, cut_over
from services.cli.remote.gateway import Gateway
from services.cli.remote.shadow_report import DagComparison, compare_plans, compare_times
from services.cli.remote.shadowing import shadow_command

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TEXT = "schedule: '0 * * * *'\nsteps: [echo]\n"


def test_plans_are_compared_step_by_step() -> None:
    step = {"name": "a", "commands": [{"command": "x"}]}
    there = {"schedule": [{"expression": "0 * * * *"}], "steps": [step, {"name": "b", "depends": ["a"]}, {"name": "c"}]}
    here = {"schedule": [{"expression": "1 * * * *"}], "steps": [step, {"name": "b"}, {"name": "d", "script": "s"}]}

    assert compare_plans(there, there) == ()
    assert compare_plans(there, here) == (
        "schedule: 0 * * * * there, 1 * * * * here",
        "steps that are missing here: c",
        "steps that are missing there: d",
        "step b: depends: a there, none here",
    )


def test_each_scheduled_time_has_at_most_one_run_and_each_run_one_time() -> None:
    def run(name: str, minutes: float, key: str = "startedAt") -> dict[str, str]:
        return {"dagRunId": name, "startedAt": "-", key: (NOON + timedelta(minutes=minutes)).isoformat()}

    runs = [run("one", 60.02), run("twice", 60.5), run("hand", 90), run("queued", 120.1, "queuedAt"), run("old", -1)]
    found = compare_times(["0 * * * *"], runs, after=NOON, until=NOON + timedelta(hours=4), tz=UTC)

    assert (found.matched, found.without_run, found.other_runs) == (
        2,
        ("2026-03-01T15:00:00+00:00",),
        ("twice", "hand"),
    )


def test_only_errors_and_differences_of_the_plan_decide_the_result() -> None:
    results = [DagComparison("a", False), DagComparison("a", False, (), ("d",)), DagComparison("a", False, ("e",))]

    assert [each.result for each in results] == ["same", "differs", "refused"]
    assert results[1].as_json()["differences"] == ["d"]


class Server:
    """Stands in for a gateway: keeps workflows and whether each is suspended, and writes down what it is asked."""

    def __init__(self, label: str, calls: list[str], dags: dict[str, str] | None = None) -> None:
        self.label, self.calls, self.dags = label, calls, dags or {}
        self.refuses: dict[str, GatewayError] = {}
        self.suspended: dict[str, bool] = {}

    def get(self, path: str) -> Any:
        name = path.split("/")[2]
        if name not in self.dags:
            raise GatewayError("no such DAG", status=404)
        return {"spec": self.dags[name], "suspended": self.suspended.get(name, False)}

    def post(self, path: str, body: Any) -> Any:
        self.calls.append(f"{self.label} {path} {body.get('suspend', '')}".strip())
        if path in self.refuses:
            raise self.refuses[path]
        if path == "/dags":
            self.dags[body["name"]] = body["spec"]
        else:
            self.suspended[path.split("/")[2]] = body["suspend"]
        return {}


@pytest.fixture
def calls() -> list[str]:
    return []


def taken_over(
    there: Server, here: Server, times: Iterator[datetime], *, suspended: bool = False
) -> tuple[CutOver, list[float]]:
    waited: list[float] = []
    workflow = Workflow("w", TEXT, ["0 * * * *"], UTC, suspended=suspended)
    cut = cut_over(cast("Gateway", there), cast("Gateway", here), workflow, lambda: next(times), waited.append)
    return cut, waited


def seconds(*after_noon: float) -> Iterator[datetime]:
    return iter([NOON + timedelta(seconds=each) for each in after_noon])


def test_a_workflow_is_suspended_there_before_it_is_here(calls: list[str]) -> None:
    there, here = Server("there", calls, {"w": TEXT}), Server("here", calls)

    cut, waited = taken_over(there, here, seconds(60, 60, 61))

    assert (cut, waited) == (CutOver("w", done=True), [])
    assert calls == ["there /dags/w/suspend True", "here /dags", "here /dags/w/suspend False"]
    assert here.dags == {"w": TEXT}


def test_it_waits_until_no_scheduled_time_is_near(calls: list[str]) -> None:
    there, here = Server("there", calls, {"w": TEXT}), Server("here", calls, {"w": TEXT})

    cut, waited = taken_over(there, here, seconds(-14, 0, 14, 16, 16, 17))

    assert (cut.done, len(waited)) == (True, 3)
    assert calls == ["there /dags/w/suspend True", "here /dags/w/suspend False"]


def test_a_time_that_passed_meanwhile_is_named(calls: list[str]) -> None:
    there, here = Server("there", calls, {"w": TEXT}), Server("here", calls)

    cut, _ = taken_over(there, here, seconds(60, 60, 3605))

    assert cut.in_doubt == ("2026-03-01T13:00:00+00:00",)


def test_it_is_resumed_there_if_it_cannot_be_stored_here(calls: list[str]) -> None:
    there, here = Server("there", calls, {"w": TEXT}), Server("here", calls)
    here.refuses["/dags"] = GatewayError("no right", status=403)

    cut, _ = taken_over(there, here, seconds(60, 60, 61))

    assert cut == CutOver("w", done=False, why="no right")
    assert calls[-1] == "there /dags/w/suspend False"


@pytest.mark.parametrize("failure", [GatewayUnreachable("lost"), GatewayError("busy", status=503)])
def test_it_is_not_resumed_there_while_it_may_be_scheduled_here(calls: list[str], failure: GatewayError) -> None:
    there, here = Server("there", calls, {"w": TEXT}), Server("here", calls)
    here.refuses["/dags/w/suspend"] = failure

    cut, _ = taken_over(there, here, seconds(60, 60, 61))

    assert not cut.done
    assert cut.why == f"{failure}. It stays suspended there, because it may be scheduled here: {failure}"
    assert calls == [
        "there /dags/w/suspend True",
        "here /dags",
        "here /dags/w/suspend False",
        "here /dags/w/suspend True",
    ]


@pytest.mark.parametrize(
    ("refused", "at_suspend"), [(403, 403), (503, 404)], ids=["refused", "no answer, and it is not there"]
)
def test_it_is_resumed_there_if_it_is_certainly_not_here(calls: list[str], refused: int, at_suspend: int) -> None:
    there, here = Server("there", calls, {"w": TEXT}), Server("here", calls)
    here.refuses["/dags"] = GatewayError("first", status=refused)
    here.refuses["/dags/w/suspend"] = GatewayError("second", status=at_suspend)

    cut, _ = taken_over(there, here, seconds(60, 60, 61))

    assert cut == CutOver("w", done=False, why="first")
    assert calls[-1] == "there /dags/w/suspend False"


def test_another_text_here_stays_and_a_suspended_workflow_stays_suspended(calls: list[str]) -> None:
    there = Server("there", calls, {"w": TEXT})

    other, _ = taken_over(there, Server("here", calls, {"w": "steps: []"}), seconds())
    assert (other.done, calls) == (False, [])

    cut, _ = taken_over(there, Server("here", calls), seconds(60, 60), suspended=True)
    assert (cut.done, cut.suspended, calls[-1]) == (True, True, "here /dags/w/suspend True")


def test_to_repeat_it_does_not_suspend_what_runs_here(calls: list[str]) -> None:
    there, here = Server("there", calls, {"w": TEXT}), Server("here", calls)
    taken_over(there, here, seconds(60, 60, 61))
    calls.clear()

    again, waited = taken_over(there, here, seconds(), suspended=True)

    assert (again, waited, calls) == (CutOver("w", done=True, already=True), [], [])


def test_to_repeat_it_tells_of_a_workflow_that_is_suspended_on_both(calls: list[str]) -> None:
    """As it is after an import, if the first time was interrupted between the two servers."""
    there, here = Server("there", calls, {"w": TEXT}), Server("here", calls, {"w": TEXT})
    here.suspended["w"] = True

    again, _ = taken_over(there, here, seconds(), suspended=True)

    assert (again, calls) == (CutOver("w", done=True, already=True, suspended=True), [])


def test_errors_of_the_other_server_say_that_they_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gateway, "_answer", lambda *_: SimpleNamespace(status=401, data=b"{}"))

    refused, odd = (CliRunner().invoke(shadow_command, ["--dagu", url]) for url in ("http://old:8080", "old:8080"))

    assert str(refused.exception) == (
        "the Dagu server at http://old:8080 answered 401; give a token by --dagu-token or DAGU_TOKEN, or a user by "
        "--dagu-username"
    )
    assert "--dagu: 'old:8080' is not a URL that begins with http:// or https://" in odd.output
