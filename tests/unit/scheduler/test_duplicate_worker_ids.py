"""Two workers with the same id are reported; a restarted worker is not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.scheduler.liveness.duplicate_worker_ids import DuplicateWorkerIds
from shared.contracts.events import Heartbeat

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def beat(began_s: float, said_s: float, host: str = "one") -> Heartbeat:
    began, said = (T0 + timedelta(seconds=after) for after in (began_s, said_s))
    return Heartbeat(
        worker_id="w", incarnation=f"{began_s}", host=host, version="0", started_at=began, at=said, slots=4
    )


def row(began_s: float, host: str = "two") -> dict[str, Any]:
    began = T0 + timedelta(seconds=began_s)
    return {"worker_id": "w", "incarnation": f"{began_s}", "host": host, "started_at": began}


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [vars(record)["hosts"] for record in caplog.records if record.message == "worker.id_shared"]


def test_an_older_incarnation_heard_after_a_younger_one_shares_its_id(caplog: pytest.LogCaptureFixture) -> None:
    DuplicateWorkerIds().check([beat(0, 12)], [row(10)], T0)

    assert told(caplog) == ["one, two"]


@pytest.mark.parametrize(
    ("said", "recorded"),
    [
        (beat(0, 12), []),
        (beat(10, 12), [row(10)]),
        (beat(10, 12), [row(0)]),
        (beat(0, 9), [row(10)]),
    ],
    ids=["new", "the same", "restarted", "late words of the former one"],
)
def test_a_worker_with_an_id_of_its_own_is_not_reported(
    said: Heartbeat, recorded: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    DuplicateWorkerIds().check([said], recorded, T0)

    assert told(caplog) == []


def test_a_shared_worker_id_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    ids = DuplicateWorkerIds()
    for after_s in (0, 5, 59, 61):
        ids.check([beat(0, 12)], [row(10)], T0 + timedelta(seconds=after_s))

    assert len(told(caplog)) == 2
