"""Causes that could block a gateway: slow clients, long computations, many streams, a silent database."""

import http.client
import itertools
import json
import os
import resource
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import urllib3
from sqlalchemy import text

from shared.store.engine import open_engine, transaction
from tests.faults.test_server_loss import frozen
from tests.harness.client import ask_probe
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually, free_port

ONE = "steps:\n  - name: one\n    command: echo 1\n"
SLOW = 40
"""More than the 16 requests that a gateway answers at the same time."""
_PATIENCE = urllib3.Timeout(connect=30, read=60)


def connect(stack: ExitStack, port: int, request: str) -> socket.socket:
    """Send ``data`` and leave the connection open."""
    link = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
    link.sendall(request.replace("\n", "\r\n").encode())
    return link


def test_clients_that_send_slowly_keep_nobody_waiting(cluster: Cluster) -> None:
    port = cluster.ports[0]
    with ExitStack() as stack:
        for _ in range(SLOW):
            connect(stack, port, "GET /api/v2/health HTTP/1.1\nHost: ")
            connect(stack, port, "POST /api/v2/dags HTTP/1.1\nHost: here\nContent-Length: 100\n\n{")
            connect(stack, port, "POST /api/v2/dags HTTP/1.1\nHost: here\nTransfer-Encoding: chunked\n\n9\n{")

        cluster.client.create("beside-slow", ONE)
        cluster.client.start("beside-slow")
        cluster.client.until("succeeded", "beside-slow")


def test_connections_without_a_request_make_room_for_others(cluster: Cluster) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))

    def others_are_answered() -> None:
        with ExitStack() as stack:
            # A gateway serves 1000, and ends those that have been silent for 15 s.
            silent = [connect(stack, cluster.ports[0], "GET ") for _ in range(2000)]

            began_s = time.monotonic()
            assert ask_probe(f"http://127.0.0.1:{cluster.ports[0]}/healthz")[0] == 200
            assert time.monotonic() - began_s < 10
            with suppress(ConnectionResetError):  # it was ended before the gateway read what it sent
                assert silent[0].recv(1) == b""

    try:
        # A machine that stands still makes one try slow, but not all.
        eventually(others_are_answered)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_bodies_than_there_is_room_for_are_refused_in_the_form_of_all_answers(cluster: Cluster) -> None:
    size = 4 * 1024 * 1024
    url = f"{cluster.client.base}/api/v2/dags"
    pool = urllib3.PoolManager(retries=False, timeout=_PATIENCE)
    with ExitStack() as stack:
        for _ in range(16):
            head = f"POST /api/v2/dags HTTP/1.1\nHost: here\nContent-Length: {size}\n\n"
            connect(stack, cluster.ports[0], head).sendall(b" " * (size - 1))

        def refused() -> urllib3.BaseHTTPResponse:
            answer = pool.request("POST", url, body=b" " * 2_000_000, headers={"Origin": "http://elsewhere"})
            assert answer.status == 503
            return answer

        answer = eventually(refused)

    def taken() -> None:
        status = pool.request("POST", url, body=b" " * 2_000_000, headers={"Origin": "http://elsewhere"}).status
        assert status != 503, "the gateway has not freed the bodies of the closed connections yet"

    eventually(taken)
    told = {
        "code": "service_unavailable",
        "message": "The server receives too many request bodies; nothing was changed. Try again soon.",
    }
    assert answer.json() == told
    assert (answer.headers["Retry-After"], answer.headers["Access-Control-Allow-Origin"]) == ("2", "*")
    assert len(answer.headers["X-Request-Id"]) == 16


def test_other_requests_are_answered_while_a_long_spec_is_parsed(cluster: Cluster) -> None:
    steps = "".join(f"  - name: s{number}\n    command: echo {number}\n" for number in range(8_000))
    rounds = itertools.count()

    def validate(sent: threading.Event) -> int:
        link = http.client.HTTPConnection("127.0.0.1", cluster.ports[0], timeout=120)
        # A gateway does not parse again what it has parsed before.
        body = json.dumps({"spec": f"description: round {next(rounds)}\nsteps:\n{steps}"})
        link.request("POST", "/api/v2/dags/validate", body, {"Content-Type": "application/json"})
        sent.set()
        status = link.getresponse().status
        link.close()
        return status

    def others_are_answered() -> None:
        sent, answered = threading.Event(), 0
        with ThreadPoolExecutor(1) as pool:
            parsing = pool.submit(validate, sent)
            assert sent.wait(60)
            while not parsing.done():
                assert cluster.client.once("GET", "/dag-runs?limit=1").status == 200
                answered += not parsing.done()
        assert parsing.result() == 200
        # The first may have come before the gateway began to parse.
        assert answered > 1

    # On a busy machine the spec may be parsed before this process gets a turn.
    eventually(others_are_answered)


def test_more_streams_than_requests_are_served_at_once(cluster: Cluster) -> None:
    with ExitStack() as stack:
        streams = [
            connect(stack, cluster.ports[0], "GET /api/v2/events HTTP/1.1\nHost: localhost\n\n").makefile("rb")
            for _ in range(SLOW)
        ]
        assert {stream.readline() for stream in streams} == {b"HTTP/1.1 200 OK\r\n"}

        cluster.client.create("streamed", ONE)
        cluster.client.start("streamed")
        for stream in streams:
            while b"streamed" not in stream.readline():
                pass
        # The tests after this one expect a system without work.
        cluster.client.until("succeeded", "streamed")


def test_a_database_that_takes_connections_and_says_nothing_is_given_up(cluster: Cluster) -> None:
    port = free_port()
    os.kill(cluster.postgres.pid, signal.SIGSTOP)  # who is connected is served still: another process does that
    try:
        with cluster.gateway(7, port) as late:

            def told() -> None:
                status, text = ask_probe(f"http://127.0.0.1:{port}/readyz")
                assert (status, json.loads(text)["error"]) == (503, "the database does not answer")

            eventually(told)
            assert ask_probe(f"http://127.0.0.1:{port}/healthz")[0] == 200
            os.kill(cluster.postgres.pid, signal.SIGCONT)
            cluster.ready(late)
    finally:
        os.kill(cluster.postgres.pid, signal.SIGCONT)


def test_a_read_of_a_database_that_hangs_is_a_503_within_its_limit(cluster: Cluster) -> None:
    port = free_port()
    pool = urllib3.PoolManager(retries=False, timeout=_PATIENCE)
    url = f"http://127.0.0.1:{port}/api/v2/dag-runs?limit=3"
    with cluster.gateway(8, port, DAGWAY_DATABASE_STATEMENT_S="1") as gateway:
        cluster.ready(gateway)
        assert pool.request("GET", url).status == 200
        with frozen(cluster.postgres.pid):
            answer = pool.request("GET", url)
        assert (answer.status, answer.json()["code"]) == (503, "service_unavailable")
        eventually(lambda: pool.request("GET", url).status == 200)


def test_a_gateway_is_ready_although_all_requests_that_it_answers_wait_for_the_database(cluster: Cluster) -> None:
    port, threads = free_port(), 2
    url = f"http://127.0.0.1:{port}/api/v2/dead-letters"
    waiting = text(
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE relation = 'dead_letters'::regclass AND NOT granted AND application_name = 'dagway-api'"
    )
    owner = open_engine(cluster.urls["owner"])

    def waiting_for_lock() -> int:
        # A transaction sees the sessions as they were at its first look.
        with transaction(owner) as looking:
            return int(looking.execute(waiting).scalar_one())

    def answered() -> bool:
        # A read that has waited for the lock as long as it may is refused: then there is the next one.
        return urllib3.request("GET", url, retries=False, timeout=120).status == 200

    with cluster.gateway(10, port, DAGWAY_API_THREADS=str(threads)) as gateway, ThreadPoolExecutor(4) as users:
        cluster.ready(gateway)
        with transaction(owner) as connection:
            connection.execute(text("LOCK TABLE dead_letters"))
            reads = [users.submit(eventually, answered) for _ in range(4)]
            eventually(lambda: waiting_for_lock() >= threads)
            probe = ask_probe(f"http://127.0.0.1:{port}/readyz")
        assert probe[0] == 200, probe
        assert all(read.result() for read in reads)
    owner.dispose()


def test_a_gateway_goes_on_to_the_next_host_if_one_does_not_answer(cluster: Cluster) -> None:
    port, url = free_port(), urlsplit(cluster.urls["api"])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = f"host=127.0.0.1:{silent.getsockname()[1]}&host={url.hostname}:{url.port}"
        both = url._replace(netloc=url.netloc.rpartition("@")[0] + "@", query=hosts).geturl()
        with cluster.gateway(9, port, DAGWAY_DATABASE_URL=both) as gateway:
            cluster.ready(gateway)


def test_a_body_without_content_length_that_is_too_large_is_a_413(cluster: Cluster) -> None:
    parts = [b'{"name":"large","spec":"', *[b"x" * 65_536] * 40, b'"}']
    url = f"{cluster.client.base}/api/v2/dags"
    pool = urllib3.PoolManager(retries=False, timeout=_PATIENCE)

    headers = {"Content-Type": "application/json", "Idempotency-Key": "chunked"}

    refused = pool.request("POST", url, body=iter(parts), headers=headers, chunked=True)

    def taken() -> urllib3.BaseHTTPResponse:
        body = iter([b'{"name":"chu', b'nked"}'])
        answer = pool.request("POST", url, body=body, headers=headers, chunked=True)
        assert answer.status != 202, "no scheduler was fast enough"
        return answer

    created = eventually(taken)

    assert (refused.status, refused.json()["message"]) == (413, "The request body is too large: at most 2 MiB")
    assert (created.status, created.json()) == (201, {"name": "chunked"})


def test_downloads_that_stall_keep_nobody_waiting(cluster: Cluster) -> None:
    # More than the kernel takes for a client that reads nothing.
    cluster.client.create("long-log", "steps:\n  - name: one\n    command: head -c 24000000 /dev/zero | tr '\\0' x\n")
    cluster.client.start("long-log")
    cluster.client.until("succeeded", "long-log")
    with ExitStack() as stack:
        download = "GET /api/v2/dag-runs/long-log/r1/steps/one/log/download HTTP/1.1\nHost: localhost\n\n"
        links = [connect(stack, cluster.ports[0], download) for _ in range(SLOW)]
        assert {link.recv(15) for link in links} == {b"HTTP/1.1 200 OK"}

        cluster.client.create("beside-stalled", ONE)
        cluster.client.start("beside-stalled")
        cluster.client.until("succeeded", "beside-stalled")


def test_a_gateway_that_may_open_no_more_files_says_so_in_one_line_and_goes_on(cluster: Cluster) -> None:
    (gateway,) = cluster.gateways
    before = len(gateway.output())
    allowed = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    opened = max(int(name) for name in os.listdir(f"/proc/{gateway.pid}/fd"))  # noqa: PTH208 - names, not paths
    with ExitStack() as stack:
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (opened + 1, allowed[1]))
        stack.callback(resource.prlimit, gateway.pid, resource.RLIMIT_NOFILE, allowed)
        # More than may be open: some of the numbers below the limit are free.
        health = "GET /api/v2/health HTTP/1.1\nHost: 127.0.0.1\n\n"
        links = [connect(stack, cluster.ports[0], health) for _ in range(opened + 2)]
        eventually(lambda: "connections.wait" in gateway.output()[before:])
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, allowed)
        for link in links:
            assert link.recv(12) == b"HTTP/1.1 200"

    said = gateway.output()[before:]
    assert "Traceback" not in said
    assert said.count("connections.wait") == 1
    assert "Too many open files" in said
