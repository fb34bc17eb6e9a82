"""A RabbitMQ with the logins that ``deploy`` creates, for tests of what each of them may do."""

import itertools
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.harness.servers import RabbitServer

__all__ = ["PASSWORDS", "BrokerUsers", "write_definitions"]

PASSWORDS = {login: f"{login}-secret" for login in ("scheduler", "api", "worker-default")}
"""The passwords in the written definitions, by login."""
_DEPLOY = Path(__file__).parents[2] / "deploy"


def write_definitions(folder: Path) -> Path:
    """Write the definitions of the shipped users, as the broker's container does; return their folder."""
    programs, definitions = folder / "bin", folder / "definitions"
    programs.mkdir(parents=True, exist_ok=True)
    # In the container this program starts the broker.
    (programs / "docker-entrypoint.sh").write_text("#!/bin/sh\n")
    (programs / "docker-entrypoint.sh").chmod(0o755)
    environ = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "DEFINITIONS": str(definitions),
        "SCHEDULER_PASSWORD": PASSWORDS["scheduler"],
        "API_PASSWORD": PASSWORDS["api"],
        "WORKER_PASSWORD": PASSWORDS["worker-default"],
    }
    argv = ["sh", str(_DEPLOY / "servers" / "rabbitmq-start.sh")]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return definitions


class BrokerUsers:
    """A running RabbitMQ that has read the definitions in ``definitions`` at its start."""

    def __init__(self, folder: Path) -> None:
        definitions = write_definitions(folder)
        self.server = RabbitServer(conf=f"load_definitions = {definitions}", in_memory=True)
        self._folder = folder
        self._passwords = dict(PASSWORDS)
        self._vhosts = itertools.count(1)

    def url(self, login: str, vhost: str = "dagway") -> str:
        """Return the broker's URL for a login."""
        return f"amqp://{login}:{self._passwords[login]}@127.0.0.1:{self.server.port}/{vhost}"

    def another_vhost(self, *logins: str) -> str:
        """Create a vhost in which each login has the rights that it has in ``dagway``; return its name."""
        name = f"apart{next(self._vhosts)}"
        value = "proplists:get_value"
        self.server.eval(
            f'ok = rabbit_vhost:add(<<"{name}">>, <<"harness">>),'
            + "".join(
                f'[ok = rabbit_auth_backend_internal:set_permissions(<<"{login}">>, <<"{name}">>,'
                f' {value}(configure, R), {value}(write, R), {value}(read, R), <<"harness">>)'
                f' || R <- rabbit_auth_backend_internal:list_user_permissions(<<"{login}">>),'
                f' {value}(vhost, R) =:= <<"dagway">>],'
                f'[ok = rabbit_auth_backend_internal:set_topic_permissions(<<"{login}">>, <<"{name}">>,'
                f' {value}(exchange, R), {value}(write, R), {value}(read, R), <<"harness">>)'
                f' || R <- rabbit_auth_backend_internal:list_user_topic_permissions(<<"{login}">>),'
                f' {value}(vhost, R) =:= <<"dagway">>],'
                for login in logins
            )
            + "ok."
        )
        return name

    def services(self) -> Mapping[str, str]:
        """Return the broker's URL of each service, by its command."""
        logins = {"scheduler": "scheduler", "api": "api", "worker": "worker-default"}
        return {service: self.url(login) for service, login in logins.items()}

    def add_worker_login(self, pool: str, login: str) -> None:
        """Make a login for the workers of a pool with ``deploy/worker-login``; import it as ``rabbitmqctl`` does."""
        argv = [str(_DEPLOY / "worker-login"), pool, login]
        made = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        (user,) = json.loads(made)["users"]
        self._passwords[user["name"]] = user["password"]
        path = self._folder / f"{login}.json"
        path.write_text(made)
        self.server.eval(f'{{ok, Made}} = file:read_file("{path}"), ok = rabbit_definitions:import_raw(Made), ok.')

    def delete_login(self, login: str) -> None:
        """Delete a login, as ``rabbitmqctl delete_user`` does."""
        self.server.eval(f'ok = rabbit_auth_backend_internal:delete_user(<<"{login}">>, <<"harness">>), ok.')
