"""Steps whose values are too large for a message of the broker: they fail, and nobody else notices."""

from shared.transport.base import MAX_MESSAGE_BYTES
from tests.faults.conftest import attempts, error_of
from tests.harness.cluster import Cluster
from tests.harness.counterparts import MailCounterpart
from tests.harness.eventually import PATIENCE_S

PRINTS = "head -c {size} /dev/zero | tr '\\0' x"
ALONE = f"""
maxOutputSize: 40000000
steps:
  - name: large
    command: {PRINTS.format(size=MAX_MESSAGE_BYTES + (2 << 20))}
    output: VALUE
    retryPolicy: {{limit: 3, intervalSec: 0}}
  - name: after
    command: echo after
"""
TOGETHER = f"""
type: graph
maxOutputSize: 40000000
smtp: {{{{host: 127.0.0.1, port: "{{port}}"}}}}
mailOn: {{{{failure: true}}}}
errorMail: {{{{from: a@x.org, to: ops@x.org}}}}
steps:
  - name: one
    command: {PRINTS.format(size=MAX_MESSAGE_BYTES // 2 + (1 << 20))}
    output: ONE
  - name: two
    command: {PRINTS.format(size=MAX_MESSAGE_BYTES // 2 + (1 << 20))}
    output: TWO
  - name: after
    depends: [one, two]
    command: echo after
    retryPolicy: {{{{limit: 3, intervalSec: 0}}}}
handlerOn:
  exit:
    command: echo over
"""


def test_a_step_whose_report_no_message_can_carry_fails_and_says_so(cluster: Cluster) -> None:
    cluster.client.create("large-report", ALONE)
    cluster.client.start("large-report")

    run = cluster.client.until("failed", "large-report")

    assert cluster.client.steps("large-report") == {"large": "failed", "after": "aborted"}
    assert f"the limit is {MAX_MESSAGE_BYTES}: pass large data in files" in error_of(run, "large")
    assert undisturbed(cluster)


def test_a_step_whose_task_no_message_can_carry_fails_and_its_mail_is_sent(cluster: Cluster) -> None:
    with MailCounterpart(None) as server:
        cluster.client.create("large-task", TOGETHER.format(port=server.port))
        cluster.client.start("large-task")

        run = cluster.client.until("failed", "large-task")

        steps = {"one": "succeeded", "two": "succeeded", "after": "failed", "onExit": "failed"}
        assert cluster.client.steps("large-task") == steps
        assert f"the limit is {MAX_MESSAGE_BYTES}: pass large data" in error_of(run, "after")
        assert ("after", 1, "withdrawn", None) in attempts(cluster, "large-task")
        _, mail = server.mails.get(timeout=PATIENCE_S)
        assert mail["Subject"] == "large-task (failed)"
    assert undisturbed(cluster)


def undisturbed(cluster: Cluster) -> bool:
    """Return whether the broker has closed no connection because of a message."""
    return not any("larger than configured max size" in process.output() for process in cluster.processes)
