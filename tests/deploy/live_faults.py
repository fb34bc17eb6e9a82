"""Cause faults on a real compose system and measure what follows: ``python -m tests.deploy.live_faults``.

It needs what ``live`` needs. The engine must run on this machine, a Linux, and the user be root: it kills processes of
containers, and connects to containers by their own addresses. It takes 15 to 20 minutes, most of it for alerts.

In a copy of the project it builds the images and starts the system. It prints a line for each finding, and ends with an
error at the first one that is not as it should be. In the end it removes all containers, networks and volumes that it
has created; images stay.

The figures of one such run are in docs/operations/live-run.md.
"""

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.live_alerts import raise_and_clear_alerts
from tests.deploy.live_load import restart_under_load
from tests.deploy.live_system import LONG_S, DisturbedSystem, say
from tests.harness.eventually import eventually

_BUILD_S = 3600.0
_KILLED = ("api", "scheduler", "rabbitmq", "postgres", "worker")
_RESTARTED = ("worker", "rabbitmq", "postgres", "api", "scheduler")
_LOST = re.compile(r"worker \S+ was lost while it ran this step")
"""The documented error of a step without ``retryPolicy`` (docs/guarantees.md)."""


def start(system: DisturbedSystem) -> None:
    """Build the images, start the system, and use it without and with a login."""
    began_s = time.monotonic()
    system.sh("umask 077; deploy/make-secrets compose > .env; docker compose build", timeout_s=_BUILD_S)
    say(f"start: both images were built in {time.monotonic() - began_s:.0f} s")
    began_s = time.monotonic()
    system.sh("docker compose up --detach --wait --no-build")
    say(f"start: docker compose up --detach --wait returned 0 after {time.monotonic() - began_s:.0f} s")
    refused = [system.status_without_login(method, "/dags") for method in ("GET", "POST")]
    assert refused == [401, 401], refused
    say("start: without a login GET /dags and POST /dags were refused with 401")
    system.create_dags()


def use_the_command_line(system: DisturbedSystem) -> None:
    """Start a workflow from a file, and look at it, by ``dagway`` on this machine."""
    file = system.folder / "by-cli.yaml"
    file.write_text("steps:\n  - name: greet\n    command: echo hello from a container\n")
    system.cli("start", "--strict", "--run-id", "first", str(file))
    assert "succeeded" in system.cli("status", "--run-id", "first", "by-cli")
    assert "hello from a container" in system.cli("logs", "--run-id", "first", "by-cli")
    system.cli("doctor")
    say("command line: dagway start, status, logs and doctor worked from this machine")


@dataclass(frozen=True, slots=True)
class _Measured:
    """Seconds from the fault until the run had succeeded, and from then until a new run was accepted and succeeded."""

    succeeded_s: float
    accepted_s: float
    next_s: float


def _measure(system: DisturbedSystem, name: str, cause: Callable[[], "Future[str] | None"]) -> _Measured:
    """Cause a fault while the step of a run is running. ``cause`` may return what goes on beside the run."""
    system.begin("slow", name)
    system.wait_until_step_runs("slow", name)
    began_s = time.monotonic()
    beside = cause()
    system.wait_for_end("slow", name)
    succeeded_s = time.monotonic()
    system.begin("quick", f"{name}-next")
    accepted_s = time.monotonic()
    system.wait_for_end("quick", f"{name}-next")
    next_s = time.monotonic()
    if beside is not None:
        beside.result()
    system.wait_until_healthy()
    return _Measured(succeeded_s - began_s, accepted_s - succeeded_s, next_s - succeeded_s)


def _tell(fault: str, found: _Measured) -> None:
    load = os.getloadavg()[0]
    say(
        f"{fault}: the run succeeded after {found.succeeded_s:.1f} s; the next was accepted {found.accepted_s:.1f} s "
        f"and had succeeded {found.next_s:.1f} s after that (load {load:.0f})"
    )


def kill_services(system: DisturbedSystem) -> None:
    """Kill all containers of each service in turn while a step runs that may be repeated."""
    for service in _KILLED:
        before = {each: system.state(each)["State"]["StartedAt"] for each in system.containers(service)}

        def cause(service: str = service) -> None:
            system.kill(service)

        _tell(f"SIGKILL {service}", _measure(system, f"killed-{service}", cause))
        after = {each: system.state(each)["State"]["StartedAt"] for each in system.containers(service)}
        assert after.keys() == before.keys(), (before, after)
        assert not after.items() & before.items(), f"not every {service} was killed: {before}, {after}"


def kill_workers_of_a_step_that_may_not_be_repeated(system: DisturbedSystem) -> None:
    """Kill all workers while a step without ``retryPolicy`` runs: its run fails, and says why."""
    system.begin("slow-once", "lost")
    system.wait_until_step_runs("slow-once", "lost")
    began_s = time.monotonic()
    assert system.kill("worker") == 2
    details = system.wait_for_end("slow-once", "lost", "failed")
    error = details["nodes"][0]["error"]
    assert _LOST.fullmatch(error), error
    say(f"SIGKILL worker, without retryPolicy: the run failed after {time.monotonic() - began_s:.1f} s: {error}")
    system.wait_until_healthy()


def restart_services(system: DisturbedSystem) -> None:
    """Restart all containers of each service in turn while a step runs that may be repeated."""
    for service in _RESTARTED:

        def cause(service: str = service) -> "Future[str]":
            return system.beside(f"docker compose restart {service}")

        _tell(f"docker compose restart {service}", _measure(system, f"restarted-{service}", cause))


def verify(system: DisturbedSystem) -> None:
    """Check the database against the guarantees, and the audit log."""
    found = system.sh("docker compose exec -T api dagway verify")
    say(f"verify: {found.strip().splitlines()[-1]}")
    say(f"verify: audit log intact, ends at {system.audit_end()}")


def stop_and_start(system: DisturbedSystem) -> None:
    """Remove all containers and create new ones: the data stay."""
    query = "SELECT (SELECT count(*) FROM dag_runs), (SELECT count(*) FROM transitions), (SELECT count(*) FROM audit)"
    audit_end = system.audit_end()
    [before] = system.rows(query)
    system.sh("docker compose down")
    began_s = time.monotonic()
    system.sh("docker compose up --detach --wait --no-build")
    took_s = time.monotonic() - began_s
    [after] = system.rows(query)
    # An entry of the audit log may have been on its way, and is in the database after the start.
    assert after[:2] == before[:2], (before, after)
    assert int(after[2]) >= int(before[2]), (before, after)
    system.sh(f"docker compose exec -T api dagway audit verify --contains {audit_end}")
    runs, transitions, entries = before
    say(f"down and up, in {took_s:.0f} s, kept {runs} runs, {transitions} transitions and {entries} audit entries")
    assert "hello from a container" in system.cli("logs", "--run-id", "first", "by-cli")
    system.begin("quick", "after-all")
    system.wait_for_end("quick", "after-all")
    say("down and up: the log of the first run is still there, and a new run succeeded")


def keep_undelivered_reports(system: DisturbedSystem) -> None:
    """Remove all containers while a report waits at a worker for the broker: a new worker delivers it."""
    waiting = "docker compose exec -T --user 10001 worker sh -c 'ls /data/worker*/spool'"
    [workers] = system.rows("SELECT count(*) FROM workers")
    system.begin("slow", "undelivered")
    system.wait_until_step_runs("slow", "undelivered")
    system.sh("docker compose stop rabbitmq")
    eventually(lambda: ".json" in system.sh(waiting), timeout_s=LONG_S, every_s=0.5)
    system.sh("docker compose down")
    system.sh("docker compose up --detach --wait --no-build")
    details = system.wait_for_end("slow", "undelivered")
    eventually(lambda: ".json" not in system.sh(waiting), timeout_s=LONG_S, every_s=0.5)
    assert system.rows("SELECT count(*) FROM workers") == [workers], "new containers are the workers of before"
    retries = details["nodes"][0]["retryCount"]
    say(
        f"down and up: a report that was not delivered before was delivered after; its step was retried {retries} times"
    )


def main() -> None:
    """Do all of this in order, on one system."""
    with tempfile.TemporaryDirectory(prefix="dagway-live-faults-") as folder:
        system = DisturbedSystem(Path(folder))
        try:
            for part in (
                start,
                use_the_command_line,
                kill_services,
                kill_workers_of_a_step_that_may_not_be_repeated,
                restart_services,
                restart_under_load,
                verify,
                raise_and_clear_alerts,
                stop_and_start,
                keep_undelivered_reports,
                verify,
            ):
                part(system)
            say("all is as it should be")
        except BaseException:
            sys.stderr.write(system.sh("docker compose ps --all || true; docker compose logs --tail 20 2>&1 || true"))
            raise
        finally:
            system.sh("docker compose down --volumes --remove-orphans --timeout 10 >/dev/null 2>&1 || true")


if __name__ == "__main__":
    main()
