"""Carries out commands of runbooks for Compose on processes, since tests have no containers."""

import itertools
import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
import yaml

from tests.harness.cluster import Cluster
from tests.harness.procs import DagwayProcess, clean_environment
from tests.harness.prometheus import Prometheus

__all__ = ["Compose"]

_SHIPPED = Path(__file__).parents[2] / "docker-compose.yml"


class Compose:
    """``docker compose`` for the processes of a cluster and its servers. What it does not know fails the test.

    The settings of a process are those of its container. ``docker compose up`` gives it the settings that it had at
    first, changed by ``declare`` and by lines for the file ``.env``.
    """

    def __init__(self, cluster: Cluster, leaf: Prometheus, folder: Path) -> None:
        self._cluster = cluster
        self._leaf = leaf
        self._folder = folder
        self._extra = itertools.count(1)
        self._first = {process: dict(process.env) for process in cluster.processes}
        self._declared = {process: dict(env) for process, env in self._first.items()}
        self._services: dict[str, Any] = yaml.safe_load(_SHIPPED.read_text())["services"]
        # The commands send a login token, which the tests' gateways do not need.
        (folder / ".token").write_text("Authorization: Bearer none")

    def declare(self, process: DagwayProcess, **env: str) -> None:
        """Change what ``docker compose up`` gives to a process."""
        self._declared[process] |= env

    def restore(self) -> None:
        """Start again with the processes and settings of the beginning."""
        cluster = self._cluster
        for process in [one for one in cluster.processes if one not in self._first]:
            process.close()
        cluster.schedulers = [one for one in cluster.schedulers if one in self._first]
        cluster.workers = [one for one in cluster.workers if one in self._first]
        self._declared = {process: dict(env) for process, env in self._first.items()}
        self._up([])

    def carry_out(self, command: str, *, code: int = 0) -> str:
        """Carry out one line of a page; return what it prints. ``code`` is the exit code that its program must have."""
        match shlex.split(command, comments=True):
            case ["docker", "compose", *words, ">", file]:
                printed = self._compose(words, code)
                (self._folder / file).write_text(printed)
                return printed
            case ["docker", "compose", *words]:
                return self._compose(words, code)
            case ["echo", setting, ">>", ".env"]:
                self._set(*setting.split("=", 1))
                return ""
            case ["curl", *words]:
                return self._curl(words)
        raise AssertionError(f"a command that tests cannot carry out: {command}")

    def _compose(self, words: Sequence[str], code: int) -> str:
        match [word for word in words if word != "-T"]:
            case ["restart", *services]:
                for service in services:
                    self._restart(service)
            case ["up", "--detach", "--scale", scale]:
                service, _, replicas = scale.partition("=")
                self._scale(service, int(replicas))
                self._up([])
            case ["up", "--detach", "--wait", "prometheus"]:
                self._leaf.start()
            case ["up", "--detach", "--wait", *services]:
                self._up(services)
            case ["run", "--rm", "migrate"]:
                return self._run(["migrate"], {"DAGWAY_DATABASE_URL": self._cluster.urls["owner"]}, code)
            case ["exec", service, "dagway", *arguments]:
                return self._run(arguments, self._of(service)[0].env, code)
            case ["exec", "postgres", "psql", "-U", "postgres", "dagway", "-c", query]:
                return self._psql(query)
            case ["exec", "rabbitmq", "rabbitmqctl", *arguments]:
                return self._rabbitmqctl(arguments)
            case ["exec", "rabbitmq", "rabbitmq-plugins", "enable", plugin]:
                # As the program does, which does not find the plugins of a server that a test has started.
                self._cluster.rabbit.eval(f"ok = application:start({plugin}), ok.")
            case unknown:
                raise AssertionError(f"a command of Compose that tests cannot carry out: {unknown}")
        return ""

    def _of(self, service: str) -> list[DagwayProcess]:
        cluster = self._cluster
        return {"api": cluster.gateways, "scheduler": cluster.schedulers, "worker": cluster.workers}[service]

    def _set(self, variable: str, value: str) -> None:
        """Give a value of ``.env`` to the services that ``docker-compose.yml`` gives it to."""
        taken = [
            (service, setting)
            for service in ("api", "scheduler", "worker")
            for setting, text in self._services[service]["environment"].items()
            if re.match(rf"\$\{{{variable}\W", text)
        ]
        assert taken, f"no service has the variable {variable}"
        for service, setting in taken:
            for process in self._of(service):
                self.declare(process, **{setting: value})

    def _restart(self, service: str) -> None:
        cluster = self._cluster
        if service == "postgres":
            cluster.postgres.stop()
            cluster.postgres.start()
        elif service == "rabbitmq":
            cluster.rabbit.kill()
            cluster.rabbit.start()
        else:
            for process in self._of(service):
                if process.running:
                    process.terminate()
            cluster.start(*self._of(service))

    def _psql(self, query: str) -> str:
        """Run a query as the superuser, and return a line for each row, as ``psql`` without alignment does."""
        name = urlsplit(self._cluster.urls["owner"]).path.removeprefix("/")
        with closing(psycopg2.connect(self._cluster.postgres.database_url(name))) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(query)
            if cursor.description is None:
                return f"{cursor.statusmessage}\n"
            return "".join(f"{'|'.join(map(str, row))}\n" for row in cursor.fetchall())

    def _rabbitmqctl(self, arguments: Sequence[str]) -> str:
        """Run ``rabbitmqctl``. The virtual host of a test has another name."""
        vhost = unquote(urlsplit(self._cluster.amqp_url).path.removeprefix("/"))
        return self._cluster.rabbit.ctl(*[vhost if word == "dagway" else word for word in arguments])

    def _curl(self, words: Sequence[str]) -> str:
        argv = [word.replace("http://127.0.0.1:8080", self._cluster.client.base) for word in words]
        done = subprocess.run(
            ["curl", "--silent", "--show-error", *argv],
            cwd=self._folder,
            env=clean_environment(self._folder),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def _up(self, services: Sequence[str]) -> None:
        """Start what does not run, and start again what runs with other settings than those declared."""
        chosen = [process for service in services for process in self._of(service)] or self._cluster.processes
        for process in chosen:
            if process.running and process.env != self._declared[process]:
                process.terminate()
            process.env = dict(self._declared[process])
        if stopped := [process for process in chosen if not process.running]:
            self._cluster.start(*stopped)

    def _scale(self, service: str, replicas: int) -> None:
        make: dict[str, Callable[[str], DagwayProcess]] = {
            "scheduler": self._cluster.scheduler,
            "worker": self._cluster.worker,
        }
        processes = self._of(service)
        while len(processes) < replicas:
            process = make[service](f"more-{next(self._extra)}")
            processes.append(process)
            self._declared[process] = dict(process.env)

    def _run(self, words: Sequence[str], env: dict[str, str], code: int) -> str:
        folder = self._folder / f"command-{next(self._extra)}"
        settings = {name: value for name, value in env.items() if name != "DAGWAY_METRICS_PORT"}
        with DagwayProcess(*words, folder=folder, env=settings) as process:
            assert process.wait_exit() == code, process.output()
        return process.output()
