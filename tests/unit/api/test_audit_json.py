"""The JSON of an entry of the audit log."""

from datetime import UTC, datetime, timedelta

from services.api.representations.audit_json import audit_entry
from shared.store.reads.reader import AuditRow

AT = datetime(2025, 11, 24, 4, 5, 6, 999_999, tzinfo=UTC)


def row(at: datetime) -> AuditRow:
    return AuditRow(
        *("id", at, "user", "", "admin", "", "", "", "", "dag.delete", "dag", "nightly", "", "done", "", 1, {}, {}),
        position=None,
        hash=None,
    )


def test_times_sort_as_text_also_at_a_full_second() -> None:
    shown = [audit_entry(row(AT + timedelta(microseconds=each)))["at"] for each in range(3)]

    assert shown == sorted(shown)
    assert shown[1] == "2025-11-24T04:05:07.000000Z"
