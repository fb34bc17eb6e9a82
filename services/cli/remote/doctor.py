"""``dagway doctor``: check the connection to a server and the server's health."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from typing import Any, Literal

import click

from services.cli.errors import GatewayError, GatewayUnreachable
from services.cli.exit_codes import FAILED
from services.cli.output.terminal import JSON_OPTION, echo, echo_json, paint
from services.cli.profiles import profiles_path
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import dag_name
from services.cli.remote.gateway import Gateway
from services.cli.remote.listing import all_dags
from shared.settings.config import environment

__all__ = ["Finding", "doctor_command"]

Level = Literal["ok", "warning", "problem"]
_COLOURS = {"ok": "succeeded", "warning": "aborted", "problem": "failed"}
_MAX_SKEW_S = 5
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found. ``remedy`` says what to do, if it is not ok."""

    check: str
    level: Level
    text: str
    remedy: str = ""


@click.command("doctor")
@JSON_OPTION
@with_gateway
def doctor_command(gateway: Gateway, *, in_json: bool) -> None:
    """Check the connection to a server and the server's health.

    Says where the URL was taken from, and for each problem what to do. DAGs with errors and files that cannot be loaded
    are warnings. Exits with 1 if there is a problem.
    """
    findings = list(_findings(gateway))
    if in_json:
        echo_json({"findings": [asdict(each) for each in findings]})
    else:
        for each in findings:
            level = paint(f"{each.level:8}", _COLOURS[each.level])
            echo(f"{level} {each.check:12} {each.text}" + (f" -> {each.remedy}" if each.remedy else ""))
    sys.exit(FAILED if any(each.level == "problem" for each in findings) else 0)


def _findings(gateway: Gateway) -> Iterator[Finding]:
    connection = gateway.connection
    yield Finding("profiles", "ok", str(profiles_path(environment())))
    source = f"{connection.url} ({connection.source or 'default'})"
    try:
        health = gateway.health()
    except GatewayUnreachable as error:
        yield Finding("gateway", "problem", error.what, connection.to_reach)
        return
    except GatewayError as error:
        yield Finding("gateway", "problem", str(error), "check the URL")
        return
    yield from about_health(health, source, installed_version("dagway"), datetime.now(UTC))
    try:
        workers, schedulers = gateway.get("/workers"), gateway.get("/services/scheduler")
        pauses = gateway.get("/pauses")["pauses"]
        dags, unread = all_dags(gateway)
    except GatewayError as error:
        yield Finding("access", "problem", str(error).partition(";")[0], str(error).partition("; ")[2])
        return
    yield Finding("access", "ok", "requests are allowed")
    yield from about_services(workers, schedulers, healthy=health["status"] == "healthy")
    yield from about_dags(dags, unread)
    for pause in pauses:
        if pause["scope"] == "global":
            yield Finding("pause", "warning", f"everything is paused by {pause['pausedBy']}", "dagway resume --all")


def about_health(health: Mapping[str, Any], source: str, own_version: str, now: datetime) -> Iterator[Finding]:
    """Yield what the health of a gateway says."""
    if health["status"] == "healthy":
        yield Finding("gateway", "ok", f"{source}, version {health['version']}")
    else:
        yield Finding("gateway", "problem", f"{source}: {health.get('error') or health['status']}", "see its log")
    if health["version"] != own_version:
        yield Finding("version", "warning", f"this command is {own_version}, the gateway {health['version']}")
    schema = health.get("schemaRevision")
    if schema and schema["found"] != schema["expected"]:
        text = f"the database has schema {schema['found']}, the gateway expects {schema['expected']}"
        # A gateway serves a database that a later version has migrated, and cannot migrate it.
        if (schema["found"] or "") > schema["expected"]:
            yield Finding("schema", "warning", text, "upgrade the gateway")
        else:
            yield Finding("schema", "problem", text, "dagway migrate")
    skew_s = abs((now - datetime.fromisoformat(health["timestamp"])).total_seconds())
    if skew_s > _MAX_SKEW_S:
        yield Finding("clock", "warning", f"this clock and the gateway's differ by {skew_s:.0f} s", "check NTP")


def about_services(workers: dict[str, Any], schedulers: dict[str, Any], *, healthy: bool) -> Iterator[Finding]:
    """Yield what the lists of workers and schedulers say. ``healthy``: whether the gateway is."""
    active = [each for each in schedulers["schedulers"] if each["status"] == "active"]
    if active:
        yield Finding("scheduler", "ok", f"{len(active)} active")
    else:
        yield Finding("scheduler", "problem", "none is active: no command is carried out", "start dagway scheduler")
    live = [each for each in workers["workers"] if each["state"] == "live"]
    lost = [each["id"] for each in workers["workers"] if each["state"] == "lost"]
    if live:
        free = sum(each["totalPollers"] - each["busyPollers"] for each in live)
        yield Finding("workers", "ok", f"{len(live)} live, {free} free slots")
    elif any(each["state"] == "draining" for each in workers["workers"]):
        yield Finding("workers", "problem", "all are draining: no new run can start", "see dagway workers")
    elif not (active and healthy):
        # Without a scheduler or the broker nobody hears their heartbeats, and then all of them look lost.
        yield Finding(
            "workers", "warning", "none is heard, whether or not it is live", "first solve the other problems"
        )
        return
    else:
        yield Finding("workers", "problem", "none is live: no step can run", "start dagway worker")
    if lost:
        yield Finding("workers", "warning", f"lost: {', '.join(lost)}", "see their hosts")


def about_dags(dags: list[dict[str, Any]], unread: list[str]) -> Iterator[Finding]:
    """Yield what the list of DAGs says. ``unread``: a line for each file that cannot be loaded."""
    faulty = [dag_name(each["fileName"]) for each in dags if each["errors"]]
    if faulty:
        more = f" and {len(faulty) - _NAMED} more" if len(faulty) > _NAMED else ""
        text = f"{len(faulty)} of {len(dags)} have errors and do not run: {', '.join(faulty[:_NAMED])}{more}"
        yield Finding("DAGs", "warning", text, "dagway ls shows the errors")
    else:
        yield Finding("DAGs", "ok", f"{len(dags)} without errors")
    for line in unread:
        yield Finding("DAG folder", "warning", line)
