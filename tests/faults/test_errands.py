"""A worker that dies on an errand: another one goes, the mail comes, and comes once."""

from collections.abc import Iterator

import pytest

from shared.store import tables as t
from tests.faults.conftest import LEASE_S
from tests.harness.cluster import Cluster
from tests.harness.counterparts import MailCounterpart
from tests.harness.eventually import eventually

SPEC = """
smtp: {{host: 127.0.0.1, port: {port}}}
mailOn: {{failure: true}}
errorMail: {{from: dag@x.org, to: ops@x.org}}
steps: [exit 3]
"""


@pytest.fixture
def server() -> Iterator[MailCounterpart]:
    with MailCounterpart(None) as made:
        yield made


def test_a_mail_is_sent_by_another_worker_when_the_first_is_killed(cluster: Cluster, server: MailCounterpart) -> None:
    server.taking.clear()
    cluster.client.create("told", SPEC.format(port=server.port))
    cluster.client.start("told")
    ended = cluster.client.until("failed", "told")
    assert server.waiting.wait(20)
    (errand,) = [row for row in cluster.rows(t.nodes, name="errand") if row["token"]]
    holder = next(one for one in cluster.workers if one.env["DAGWAY_WORKER_ID"] == errand["token_worker"])

    holder.kill9()
    server.taking.set()

    recipients, mail = server.mails.get(timeout=LEASE_S + 20)
    assert (recipients, mail["Subject"]) == (["ops@x.org"], "told (failed)")

    def back() -> bool:
        (node,) = cluster.rows(t.nodes, name="errand", run_key=errand["run_key"])
        return (node["status"], node["token"], node["outputs"]) == ("succeeded", None, {})

    eventually(back, timeout_s=20)
    assert server.mails.empty()
    assert cluster.client.run("told") == ended, "the run stays as it ended"
    states = sorted(row["state"] for row in cluster.rows(t.attempts, run_key=errand["run_key"], node=errand["idx"]))
    assert states == ["finished", "lost"]
