"""Stored secrets over REST: values go in and never come out, and the steps of the DAGs that may use them get them."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from services.api.command_client import Recorded
from services.api.problems import Problem
from services.api.settings import Settings
from shared.contracts.actors import Actor
from shared.contracts.commands.secrets import ResealedSecret, ResealSecrets
from shared.contracts.signing_keys import SharedKey
from shared.secret_box import SecretBox
from shared.store import tables as t
from shared.store.engine import open_engine
from tests.conformance.conftest import Deployment
from tests.conformance.kept_files import files_with
from tests.conformance.rest_live import Live

VALUE = "s3cr3t-c4n4ry of its own"
SPEC = """
secrets: [{name: TOKEN, provider: stored, key: KEY}]
steps:
  - name: s
    command: echo "got $TOKEN"; test "$TOKEN" = "$(printf %s 'VALUE' | rev)" && echo right
"""


@pytest.fixture(autouse=True)
def _no_secret_of_another_test(live: Live) -> None:
    for each in live.get("/secrets")["secrets"]:
        assert live.ask("DELETE", f"/secrets/{each['name']}").status_code == 204


def _put(live: Live, name: str, value: str = VALUE, **body: Any) -> Any:
    response = live.ask("PUT", f"/secrets/{name}", {"value": value, **body})
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.get_json()


def _listed(live: Live, name: str) -> dict[str, Any]:
    (found,) = [each for each in live.get("/secrets")["secrets"] if each["name"] == name]
    return dict(found)


def _spec(key: str) -> str:
    # Reversed, so that a stored spec does not have the value.
    return SPEC.replace("KEY", key).replace("VALUE", VALUE[::-1])


def test_a_step_gets_a_stored_secret_and_nothing_else_has_it(live: Live, deployment: Deployment) -> None:
    assert _put(live, "db") == {"name": "db", "version": 1}
    live.dag("stored", _spec("db"))
    live.start("stored", dagRunId="r1")
    run = live.until("stored", "r1", 4)
    log = live.get("/dag-runs/stored/r1/steps/s/log")

    assert log["content"] == "got *******\nright"
    listed = _listed(live, "db")
    assert (listed["keyId"], listed["dags"], listed["version"]) == ("s1", [], 1)
    engine = open_engine(deployment.database_url, read_only=True)
    with engine.connect() as connection:
        rows = [str(connection.execute(select(table)).all()) for table in t.metadata.sorted_tables]
    engine.dispose()
    assert VALUE not in str(rows)
    assert VALUE not in json.dumps([listed, run, log, live.get("/dag-runs/stored/r1/log")])
    assert files_with(VALUE.encode(), deployment.folder) == []


def test_a_new_value_counts_for_a_retry(live: Live) -> None:
    _put(live, "late", "wrong")
    live.dag("late", _spec("late"))
    live.start("late", dagRunId="r1")
    live.until("late", "r1", 2)
    assert _put(live, "late")["version"] == 2
    live.post("/dag-runs/late/r1/retry", {"dagRunId": "r1"})

    live.until("late", "r1", 4)


def test_only_the_named_dags_get_it(live: Live) -> None:
    _put(live, "mine", dags=["own-*"])
    live.dag("own-1", _spec("mine"))
    live.dag("foreign", _spec("mine"))
    live.start("own-1", dagRunId="r1")
    live.start("foreign", dagRunId="r1")
    # The name of a run from a spec in the request is the caller's choice.
    live.post("/dag-runs", {"name": "own-2", "dagRunId": "r2", "spec": _spec("mine")})

    live.until("own-1", "r1", 4)
    for name, run_id in (("foreign", "r1"), ("own-2", "r2")):
        live.until(name, run_id, 2)
        told = live.get(f"/dag-runs/{name}/{run_id}/log")["content"]
        assert 'there is no stored secret "mine" that this DAG may use' in told


def test_a_task_carries_no_more_than_a_mebibyte_of_secrets(live: Live) -> None:
    names = [f"large{number}" for number in range(13)]
    for name in names:
        _put(live, name, "x" * 65_536)
    secrets = "".join(f"\n  - {{name: {name.upper()}, provider: stored, key: {name}}}" for name in names)
    live.dag("too-large", f"secrets:{secrets}\nsteps:\n  - name: s\n    command: test ${{#LARGE1}} = 65536\n")
    live.start("too-large", dagRunId="r1")

    live.until("too-large", "r1", 2)

    told = live.get("/dag-runs/too-large/r1/log")["content"]
    assert "more than 1048576 characters together" in told
    assert 'in the field "secrets" of the workflow' in told


def test_a_deleted_secret_is_missing(live: Live) -> None:
    _put(live, "gone")
    assert live.ask("DELETE", "/secrets/gone").status_code == 204
    assert live.refused("DELETE", "/secrets/gone") == (404, "not_found")
    live.dag("gone", _spec("gone"))
    live.start("gone", dagRunId="r1")

    live.until("gone", "r1", 2)


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("a b", {"value": VALUE}, "name"),
        ("-a", {"value": VALUE}, "name"),
        ("a" * 101, {"value": VALUE}, "name"),
        ("a", {"value": ""}, "value"),
        ("a", {}, "value"),
        ("a", {"value": [VALUE]}, "value"),
        ("a", {"value": f"{VALUE}\0"}, "value"),
        ("a", {"value": VALUE * 3000}, "value"),
        ("a", {"value": VALUE, "dags": ["a b"]}, "dags"),
    ],
)
def test_bad_input_is_named_without_the_value(live: Live, name: str, body: dict[str, Any], field: str) -> None:
    response = live.ask("PUT", f"/secrets/{name}", body)

    assert response.status_code == 400
    assert response.get_json()["message"].startswith(f"{field}: ")
    assert VALUE not in response.get_data(as_text=True)


def test_a_new_key_takes_over_and_the_old_one_can_go(live: Live) -> None:
    old, new = (
        SharedKey("s1", b"a key of the tests for stored secrets"),
        SharedKey("s2", b"another key of the tests " * 2),
    )
    _put(live, "turned")
    rotating = live.app_with(Settings(), box=SecretBox([new, old]))
    assert rotating.post("/secrets/rotate")["remaining"] == 0

    assert {each["keyId"] for each in live.get("/secrets")["secrets"]} == {"s2"}
    assert _listed(live, "turned")["version"] == 1
    (row,) = [each for each in live.reads.secrets() if each.name == "turned"]
    assert SecretBox([new]).open("turned", row.sealed) == VALUE
    assert rotating.post("/secrets/rotate") == {"rotated": 0, "remaining": 0}
    lost = live.app_with(Settings(), box=SecretBox([old]))
    assert lost.refused("POST", "/secrets/rotate") == (409, "conflict")
    # The worker of these tests has the old key only.
    assert live.post("/secrets/rotate", status=409)


def test_a_gateway_without_a_key_says_which_setting_it_needs(live: Live) -> None:
    bare = live.app_with(Settings(), box=SecretBox())
    response = bare.ask("PUT", "/secrets/a", {"value": VALUE})

    assert (response.status_code, response.get_json()["code"]) == (409, "conflict")
    assert "DAGWAY_SECRET_KEYS" in response.get_json()["message"]


def test_a_value_that_was_set_meanwhile_survives_the_rotation(live: Live) -> None:
    _put(live, "meanwhile", "before")
    (row,) = [each for each in live.reads.secrets() if each.name == "meanwhile"]
    live.ask("DELETE", "/secrets/meanwhile")
    assert _put(live, "meanwhile")["version"] == 1
    # What a gateway sends that has read the row before.
    late = ResealedSecret(name="meanwhile", replaces=row.sealed, sealed="s2:of the value before")
    commands = live.deps.commands
    actor = Actor(kind="anonymous", id="anonymous", name="anonymous", role="admin")
    outcome = commands.wait(commands.send(ResealSecrets(by="t", actor=actor, secrets=(late,))))

    assert isinstance(outcome, Recorded)
    assert outcome.result["rotated"] == 0
    assert _listed(live, "meanwhile")["keyId"] == "s1"


def test_a_rotation_that_was_refused_is_not_said_to_be_done(live: Live) -> None:
    commands = live.deps.commands
    actor = Actor(kind="anonymous", id="anonymous", name="anonymous", role="viewer")
    with pytest.raises(Problem, match="requires the role manager"):
        commands.wait(commands.send(ResealSecrets(by="t", actor=actor, secrets=()), key="refused-rotation"))

    response = live.ask("POST", "/secrets/rotate", headers={"Idempotency-Key": "refused-rotation"})

    assert (response.status_code, response.get_json()["code"]) == (409, "already_exists")
