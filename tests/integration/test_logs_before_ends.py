"""Who sees that a step has ended can read its whole log; on both deployments."""

import pytest
from prometheus_client import REGISTRY

from shared.store import tables as t
from tests.harness.eventually import PATIENCE_S
from tests.integration.scheduler_stack import Stack

ONE = "steps:\n  - echo hi\n"


def test_an_end_is_not_recorded_before_the_log_that_was_sent_before_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduler.loops.intakes._LOGS_WAIT_S", 2 * PATIENCE_S)  # however busy the machine is
    stack.scheduler()
    stack.dag("one", ONE)
    stack.start("one", "slow-log")
    slow = stack.worker.task()
    stack.worker.run(slow, log_bytes={"stdout": 6, "stderr": 0})
    stack.start("one", "no-log")
    stack.worker.run(stack.worker.task())
    stack.until("succeeded", "no-log")

    assert stack.run("slow-log")["status"] == "running", "its log cannot be read yet"
    stack.worker.print(slow, b"whole\n")

    stack.until("succeeded", "slow-log")
    assert [bytes(row["data"]) for row in stack.rows(t.log_chunks)] == [b"whole\n"]

    lost = REGISTRY.get_sample_value("dagway_reports_without_log_total")
    monkeypatch.setattr("services.scheduler.loops.intakes._LOGS_WAIT_S", 0.0)
    stack.start("one", "lost-log")
    stack.worker.run(stack.worker.task(), log_bytes={"stdout": 6, "stderr": 0})
    stack.until("succeeded", "lost-log")
    assert REGISTRY.get_sample_value("dagway_reports_without_log_total") == (lost or 0) + 1
