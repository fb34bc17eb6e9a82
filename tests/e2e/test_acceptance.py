"""The gateway without a broker, scheduler or worker: it answers 503 or 202, and accepted commands run later."""

from shared.store import tables as t
from tests.harness.client import Client, ask_probe
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually, free_port
from tests.harness.proxy import Proxy

ONE = "steps:\n  - echo hi\n"


def test_without_a_broker_a_command_is_refused_and_reads_go_on(cluster: Cluster) -> None:
    cluster.client.create("cut", ONE)
    proxy = Proxy(cluster.rabbit.port)
    port, late = free_port(), free_port()
    behind = cluster.amqp_url.replace(f":{cluster.rabbit.port}/", f":{proxy.port}/")
    gateway = cluster.gateway(9, port, DAGWAY_AMQP_URL=behind, DAGWAY_COMMAND_WAIT_S="15")
    client = Client([port])
    try:
        cluster.start(gateway)
        client.start("cut", "before")

        proxy.cut()

        def refused() -> None:
            answer = client.once("POST", "/dags/cut/start", {"dagRunId": "during"})
            assert answer.status == 503, answer

        eventually(refused)
        answer = client.once("POST", "/dags/cut/start", {"dagRunId": "during"}, key="during")
        assert (answer.status, answer.code) == (503, "service_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert client.once("GET", "/health").status == 503
        assert client.once("GET", "/dag-runs/cut/before").status == 200
        assert ask_probe(f"http://127.0.0.1:{port}/readyz")[0] == 200
        with cluster.gateway(8, late, DAGWAY_AMQP_URL=behind):

            def not_ready() -> None:
                status, why = ask_probe(f"http://127.0.0.1:{late}/readyz")
                assert (status, "message broker" in why) == (503, True), why

            eventually(not_ready)

        proxy.mend()
        again = client.insist("POST", "/dags/cut/start", {"dagRunId": "after"}, key="after")
        assert (again.status, again.json) == (200, {"dagRunId": "after"})
        assert client.once("GET", "/health").status == 200
        assert client.once("GET", "/dag-runs/cut/during").status == 404
    finally:
        client.close()
        gateway.close()
        proxy.close()


def test_without_a_scheduler_a_command_is_accepted_and_carried_out_later(cluster: Cluster) -> None:
    client = cluster.client
    client.create("later", ONE)
    (scheduler,) = cluster.schedulers
    assert scheduler.terminate() == 0

    port = free_port()
    with cluster.gateway(7, port, DAGWAY_COMMAND_WAIT_S="1") as gateway:
        cluster.ready(gateway)
        answer = client.once("POST", "/dags/later/start", {"dagRunId": "r1"}, key="patience", port=port)

    assert answer.status == 202
    assert answer.json == {"commandId": "patience", "dagRunId": "r1"}
    assert client.ask("GET", "/dag-runs/later/r1").status == 404
    cluster.start(scheduler)
    eventually(lambda: client.ask("GET", "/dag-runs/later/r1").status == 200)
    client.until("succeeded", "later")
    assert client.ask("POST", "/dags/later/start", {"dagRunId": "r1"}, key="patience").status == 200
    (row,) = cluster.rows(t.inbox, command_id="patience")
    assert (row["outcome"], len(cluster.rows(t.dag_runs, dag_name="later"))) == ("recorded", 1)


def test_a_run_waits_for_a_worker_to_come(cluster: Cluster) -> None:
    client = cluster.client
    (worker,) = cluster.workers
    assert worker.terminate() == 0
    client.create("alone", ONE)
    client.start("alone")
    assert client.steps("alone") == {"cmd_1": "not_started"}
    assert client.run("alone")["statusLabel"] == "running"

    cluster.start(worker)

    client.until("succeeded", "alone")
    assert [row["number"] for row in cluster.rows(t.attempts) if row["run_key"] == _key(cluster, "alone")] == [1]


def _key(cluster: Cluster, dag: str) -> str:
    (run,) = cluster.rows(t.dag_runs, dag_name=dag)
    return str(run["run_key"])
