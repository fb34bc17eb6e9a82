"""A gateway names the actor of every command; and what ends at the gateway is audited there."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.api.auth.tokens import secret_hash
from services.api.settings import Settings
from shared.contracts.actors import SYSTEM, Actor
from shared.errors import Unavailable
from tests.conformance.rest_stack import NOW, Stack, open_stack, recorded, refused
from tests.harness.eventually import eventually

SECRET = "a secret of the tests, long enough for HS256"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A gateway that requires no login, behind one proxy."""
    with open_stack(tmp_path, settings=Settings(trusted_proxies=1)) as opened:
        yield opened


def test_without_authentication_the_actor_is_anonymous_and_may_do_anything(stack: Stack) -> None:
    headers = {"X-Request-Id": "r-1", "X-Forwarded-For": "forged, 203.0.113.9"}
    assert stack.api("PUT", "/pools/p", json={"capacity": 2}, headers=headers).status_code == 200

    assert stack.command.actor == Actor(
        kind="anonymous", id="anonymous", name="anonymous", role="admin", address="203.0.113.9", request_id="r-1"
    )
    assert stack.audited() == []


@pytest.mark.parametrize(
    ("settings", "headers", "actor"),
    [
        (Settings(token="t"), {"Authorization": "Bearer t"}, ("token", "api-token")),
        (
            Settings(basic_username="u", basic_password="p"),
            {"Authorization": "Basic dTpw"},
            ("basic", "u"),
        ),
    ],
    ids=["token", "basic"],
)
def test_a_configured_credential_is_an_actor_without_a_row(
    tmp_path: Path, settings: Settings, headers: dict[str, str], actor: tuple[str, str]
) -> None:
    with open_stack(tmp_path, settings=settings) as stack:
        assert stack.api("PUT", "/pools/p", json={"capacity": 2}, headers=headers).status_code == 200
        assert stack.api("PUT", "/pools/p", json={"capacity": 2}).status_code == 401

        sent = stack.command.actor
        assert (sent.kind, sent.name, sent.id, sent.role, sent.address) == (*actor, actor[1], "admin", "127.0.0.1")
        [entry] = stack.audited()
        assert (entry.actor.kind, entry.actor.role, entry.code, entry.target.name) == (
            "anonymous",
            "",
            "unauthorized",
            "p",
        )


def test_the_log_names_the_client_of_a_refused_request_and_of_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="services.api.observability.request_metrics")
    with open_stack(tmp_path, settings=Settings(token="t", trusted_proxies=1)) as stack:
        assert stack.api("GET", "/dags", headers={"X-Forwarded-For": "forged, 203.0.113.9"}).status_code == 401
        headers = {"Authorization": "Bearer t", "X-Forwarded-For": "203.0.113.9"}
        assert stack.api("PUT", "/pools/p", json={"capacity": 2}, headers=headers).status_code == 200

    lines = [record.__dict__ for record in caplog.records if record.message == "request.answered"]
    assert [(line["status"], line.get("client")) for line in lines] == [(401, "203.0.113.9"), (200, None)]


def test_the_use_of_a_key_is_recorded_by_the_system_and_the_key_is_the_actor(tmp_path: Path) -> None:
    with open_stack(tmp_path, settings=Settings(auth_mode="builtin", token_secret=SECRET)) as stack:
        row = {"id": "k", "name": "ci", "description": "", "role": "manager", "prefix": "p", "created_by": "x"}
        stack.add("api_keys", **row, secret_hash=secret_hash("dagu_key"), created_at=NOW, updated_at=NOW)
        headers = {"Authorization": "Bearer dagu_key"}
        assert stack.api("PUT", "/pools/p", json={"capacity": 2}, headers=headers).status_code == 200

        # The use of a key is recorded in the background.
        eventually(lambda: len(stack.seen) == 2)
        actors = [command.actor for _, command in stack.seen]
        assert SYSTEM in actors
        sent = next(actor for actor in actors if actor != SYSTEM)
        assert sent is not None
        assert (sent.kind, sent.id, sent.name, sent.role) == ("api_key", "k", "apikey:ci", "manager")


def test_what_a_scheduler_refuses_or_nobody_decided_is_not_audited_twice(stack: Stack) -> None:
    stack.answer = lambda _command: refused("not_found")
    assert stack.api("DELETE", "/pools/p").status_code == 404
    stack.answer = lambda _command: refused("internal_error")
    assert stack.api("DELETE", "/pools/p").status_code == 500

    assert stack.audited() == []


def test_a_body_that_cannot_be_read_is_audited_and_a_validation_is_not(stack: Stack) -> None:
    as_json = {"content_type": "application/json"}
    assert stack.api("PUT", "/pools/p", data="{", **as_json).status_code == 400
    assert stack.api("POST", "/dags", data="x" * 3_000_000, **as_json).status_code == 413
    assert stack.api("POST", "/dags/validate", json={"spec": ""}).status_code < 500
    assert stack.api("POST", "/dags/validate", data="{", **as_json).status_code == 400
    assert stack.api("GET", "/dags/none").status_code == 404

    found = {(each.operation, each.target.kind, each.target.name, each.code) for each in stack.audited()}
    assert found == {("setPoolCapacity", "pool", "p", "bad_request"), ("createNewDAG", "dag", "", "bad_request")}


def test_the_first_user_is_created_by_the_system(tmp_path: Path) -> None:
    settings = Settings(auth_mode="builtin", token_secret=SECRET, admin_password="adminadmin")
    with open_stack(tmp_path, settings=settings) as stack:
        stack.deps.first_user.ensure()

        assert (stack.command.actor, stack.command.by) == (SYSTEM, "system")


def test_the_password_of_the_first_user_is_printed_however_late_a_scheduler_creates_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_stack(
        tmp_path, settings=Settings(auth_mode="builtin", token_secret=SECRET), reply_timeout_s=0.05
    ) as stack:
        stack.answer = lambda _command: None
        with pytest.raises(Unavailable, match="no scheduler has said yet"):
            stack.deps.first_user.ensure()
        eventually(lambda: stack.seen != [])  # its thread may be held up for longer than the gateway waits
        command = stack.command
        assert capsys.readouterr().out == ""
        # A scheduler carries it out now, and its reply finds nobody who waits.
        stack.add(
            "users", id=command.user_id, username="admin", role="admin", password_hash=command.password_hash,
            created_at=NOW, updated_at=NOW,
        )  # fmt: skip

        stack.answer = lambda _command: recorded(created=True)

        def ensured() -> bool:
            with suppress(Unavailable):
                stack.deps.first_user.ensure()
                return True
            return False

        eventually(ensured)
        password = capsys.readouterr().out.removeprefix("First user: admin, password: ").strip()
        assert stack.deps.auth.passwords.fits(command.password_hash, password)
        assert all(sent == stack.seen[0] for sent in stack.seen)
