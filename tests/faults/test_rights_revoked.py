"""The database user of the schedulers loses its rights, and gets them back."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from psycopg2 import sql

from tests.faults.conftest import attempts
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually

DAG = """
steps:
  - name: only
    command: echo 1
"""


@contextmanager
def without_rights(cluster: Cluster) -> Iterator[None]:
    user = sql.Identifier(str(urlsplit(cluster.urls["scheduler"]).username))
    cluster.postgres.execute(sql.SQL("REVOKE dagway_scheduler FROM {}").format(user))
    try:
        yield
    finally:
        cluster.postgres.execute(sql.SQL("GRANT dagway_scheduler TO {}").format(user))


def test_schedulers_without_rights_wait_until_these_are_granted(cluster: Cluster) -> None:
    cluster.client.create("rights-revoked", DAG)
    before = [len(process.output()) for process in cluster.schedulers]

    def logs() -> list[str]:
        return [process.output()[length:] for process, length in zip(cluster.schedulers, before, strict=True)]

    with without_rights(cluster):
        answer = cluster.client.ask("POST", "/dags/rights-revoked/start", {"dagRunId": "r1"}, key="rights-revoked")
        assert answer.status == 202, answer
        eventually(lambda: all("permission denied" in log for log in logs()))

    cluster.client.until("succeeded", "rights-revoked")
    assert all(process.running for process in cluster.schedulers)
    assert not any("Traceback" in log for log in logs()), logs()
    assert attempts(cluster, "rights-revoked") == [("only", 1, "finished", "succeeded")]
