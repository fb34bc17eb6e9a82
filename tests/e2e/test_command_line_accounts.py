"""The commands for users and API keys, on a server with accounts."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli import cli
from tests.harness.cluster import Cluster, Embedded
from tests.harness.eventually import free_port

ACCOUNTS = {
    "DAGWAY_AUTH_MODE": "builtin",
    "DAGWAY_AUTH_TOKEN": "the static token",
    "DAGWAY_AUTH_TOKEN_SECRET": "s" * 40,
    "DAGWAY_AUTH_ADMIN_PASSWORD": "first password of all",
}


@pytest.fixture(params=["embedded", "distributed"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a gateway with accounts: a ``dagway up``, or a further gateway of the shared system."""
    if request.param == "embedded":
        with Embedded(tmp_path / "server", env=ACCOUNTS) as started:
            yield started.client.base
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    port = free_port()
    with cluster.gateway(8, port, **ACCOUNTS) as gateway:
        cluster.ready(gateway)
        yield f"http://127.0.0.1:{port}"


def test_users_and_keys_from_creation_to_deletion(url: str, tmp_path: Path) -> None:
    runner = CliRunner(
        env={"XDG_CONFIG_HOME": str(tmp_path), "DAGWAY_URL": url, "DAGWAY_AUTH_TOKEN": "the static token"}
    )

    def said(*args: str, stdin: str | None = None) -> str:
        result = runner.invoke(cli, args, input=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    created = said("users", "create", "ann", "--role", "viewer", "--password-file", "-", stdin="a long password 1\n")
    assert created == "ann created, role viewer\n"
    assert said("users", "set-role", "ann", "operator") == "ann changed, role operator\n"
    done = said("users", "reset-password", "ann", "--password-file", "-", stdin="another password 2\n")
    assert done == "ann has a new password\n"
    for args in (("create", "eve", "--role", "viewer"), ("reset-password", "ann")):
        unasked = runner.invoke(cli, ["users", *args], input="")
        assert unasked.exit_code == 2
        assert unasked.stderr.endswith(
            "without a terminal, give the password by --password-file (- for standard input)\n"
        )
    assert re.search(r"^ann +operator ", said("users", "list"), re.MULTILINE)
    assert said("users", "delete", "ann") == "ann deleted\n"
    gone = runner.invoke(cli, ["users", "delete", "ann"])
    assert (gone.exit_code, gone.stderr) == (1, "dagway: there is no user 'ann'; dagway users list shows all\n")

    limits = ("--expires", "1d", "--dag", "etl-*", "--dag", "load")
    limited = said("keys", "create", "short", "--role", "operator", *limits).strip()
    assert re.search(r"^short +operator .* \d\d:\d\d:\d\dZ +etl-\* load$", said("keys", "list"), re.MULTILINE)
    assert runner.invoke(cli, ["ls", "--token", limited]).exit_code == 1
    key = said("keys", "create", "ci", "--role", "viewer").strip()
    assert re.search(rf"^ci +viewer +{re.escape(key[:4])}", said("keys", "list"), re.MULTILINE)
    assert said("config", "set", "ci", "--url", url, "--token-file", "-", stdin=key).endswith("token\n")
    assert json.loads(said("ls", "no-such", "--profile", "ci", "--json"))["dags"] == []
    refused = runner.invoke(cli, ["pause", "--all", "--profile", "ci"])
    assert refused.exit_code == 1
    assert refused.stderr == "dagway: This request requires the role manager; apikey:ci has viewer\n"
    assert said("keys", "delete", "ci") == "ci deleted\n"
    away = runner.invoke(cli, ["ls", "--profile", "ci"])
    assert away.exit_code == 1
    assert away.stderr.endswith("give a token by --token or DAGWAY_AUTH_TOKEN, or a profile by dagway config set\n")
    doctor = runner.invoke(cli, ["doctor", "--token", "wrong"])
    assert (doctor.exit_code, "problem  access" in doctor.stdout) == (1, True)

    assert re.search(r"^DAGWAY_LEASE_S +\d+ +all$", said("settings", "--of", "workers"), re.MULTILINE)
    at = ("--url", url)
    assert said("workspaces", "create", "acme", "--max-dags", "1") == "acme created\n"
    said("users", "create", "bob", "--role", "none", "--password-file", "-", stdin="a long password 3\n")
    added = said("workspaces", "add-member", "acme", "bob", "--role", "manager")
    assert added == "bob is a member of acme, role manager\n"
    assert "maxDags: 1 (0 used)" in said("workspaces", "show", "acme")
    assert said("workspaces", "set", "acme", "--max-dags", "0") == "acme changed\n"
    assert "maxDags: no limit" in said("workspaces", "show", "acme")
    assert re.search(r"^acme +admin", said("workspaces", "list"), re.MULTILINE)
    assert "maxLogBytesPerDay: no limit\n" in said("workspaces", "show", "acme"), "without a quota they are not counted"
    said("workspaces", "set", "acme", "--max-log-bytes-per-day", "5000")
    assert "maxLogBytesPerDay: 5000 (0 used)\n" in said("workspaces", "show", "acme")
    reserved = said("worker-pools", "reserve", "gpu", "acme", "default")
    assert reserved == "worker pool gpu serves default, acme only\n"
    assert re.search(r"^gpu +default, acme$", said("worker-pools", "list"), re.MULTILINE)
    assert said("worker-pools", "release", "gpu") == "worker pool gpu serves all workspaces\n"
    own = said("keys", "create", "ci", "--role", "viewer", "--workspace", "acme").strip()
    stored = said("config", "set", "acme", *at, "--workspace", "acme", "--token-file", "-", stdin=own)
    assert stored.endswith("token\n")
    assert json.loads(said("ls", "--profile", "acme", "--json"))["dags"] == []
    assert runner.invoke(cli, ["ls", "--profile", "acme"]).stderr == "no DAGs\n"
    foreign = runner.invoke(cli, ["ls", "--profile", "acme", "--workspace", "default"])
    assert "may not use the workspace default" in foreign.stderr
    said("keys", "delete", "ci", "--workspace", "acme")
    assert said("workspaces", "remove-member", "acme", "bob") == "bob is no longer a member of acme\n"
    assert said("workspaces", "delete", "acme") == "acme deleted\n"
    assert said("users", "delete", "bob") == "bob deleted\n"
