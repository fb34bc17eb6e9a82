import pytest

from services.api import problems
from shared.contracts.commands import RefusedError
from shared.errors import (
    AlreadyExists,
    BrokerUnavailable,
    Conflict,
    DagwayError,
    DecodeFailed,
    InvalidInput,
    InvariantBroken,
    NotFound,
    PublishUnconfirmed,
    StaleVersion,
    StoreUnavailable,
    Unroutable,
)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput("x"), 400, "bad_request"),
        (DecodeFailed("x"), 400, "bad_request"),
        (NotFound("x"), 404, "not_found"),
        (Conflict("x"), 400, "bad_request"),
        (AlreadyExists("x"), 409, "already_exists"),
        (StaleVersion("x"), 400, "bad_request"),
        (BrokerUnavailable("x"), 503, "service_unavailable"),
        (PublishUnconfirmed("x"), 503, "service_unavailable"),
        (Unroutable("x"), 503, "service_unavailable"),
        (StoreUnavailable("x"), 503, "service_unavailable"),
        (InvariantBroken("x"), 500, "internal_error"),
        (DagwayError("x"), 500, "internal_error"),
    ],
)
def test_every_error_has_its_status_and_code(error: DagwayError, status: int, code: str) -> None:
    problem = problems.from_error(error)

    assert (problem.status, problem.code) == (status, code)
    assert set(problem.envelope) - {"details"} == {"code", "message"}
    assert problem.message


def test_temporary_errors_have_retry_after() -> None:
    assert problems.from_error(BrokerUnavailable("away")).headers["Retry-After"]


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (StoreUnavailable("x"), "The database"),
        (BrokerUnavailable("x"), "The message broker"),
        (Unroutable("x"), "The message broker"),
    ],
)
def test_what_is_unavailable_is_named(error: DagwayError, what: str) -> None:
    words = f"{what} is unavailable or overloaded"

    assert problems.from_error(error).message == f"{words}; nothing was changed. Try again soon."
    assert problems.from_error(error, reading=True).message == words


def test_an_unknown_outcome_is_not_called_a_failure() -> None:
    problem = problems.from_error(PublishUnconfirmed("gone"))

    assert "unknown" in problem.message
    assert "Idempotency-Key" in problem.message
    assert problem.details == {"outcome": "unknown"}
    assert problems.from_error(BrokerUnavailable("away")).details == {}


def test_an_internal_error_tells_nothing_of_its_cause() -> None:
    assert "secret" not in problems.from_error(InvariantBroken("secret")).message
    unknown = problems.from_refusal(RefusedError(code="no_such_code", message="secret"), "run.start")
    assert "secret" not in unknown.message


def test_who_sent_a_command_that_failed_is_told_what_became_of_it() -> None:
    failed = RefusedError(code="internal_error", message="it is a dead letter")
    problem = problems.from_refusal(failed, "run.start")
    assert (problem.status, problem.envelope) == (500, {"code": "internal_error", "message": "it is a dead letter"})


@pytest.mark.parametrize(
    ("command", "code", "status"),
    [
        ("run.start", "already_running", 409),
        ("run.retry", "already_running", 400),
        ("dag.rename", "already_running", 400),
        ("run.stop", "not_running", 400),
        ("run.start", "max_run_reached", 409),
        ("dag.create", "already_exists", 409),
        ("run.stop", "not_found", 404),
        ("run.stop", "no_such_code", 500),
    ],
)
def test_a_refusal_keeps_its_code_and_gets_the_status_of_its_command(command: str, code: str, status: int) -> None:
    problem = problems.from_refusal(RefusedError(code=code, message="why", details={"a": 1}), command)

    assert problem.status == status
    if status != problems.INTERNAL:
        assert problem.envelope == {"code": code, "message": "why", "details": {"a": 1}}
