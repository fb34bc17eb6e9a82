"""Real servers for tests: RabbitMQ and Postgres on free loopback ports, in temporary directories.

Each is a context manager and touches nothing outside its own directory: own cookie, node name,
epmd and ports, so that any number of test runs share a machine. Both run as root (Postgres then
as an unprivileged user) or as anybody. ``kill`` is the crash, ``stop`` the orderly end; after
either, ``start`` comes back on the same port with the same data.
"""

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg2
from psycopg2 import sql

from shared.store.migrate import migrate
from tests.harness.eventually import eventually, free_port
from tests.harness.reaper import forget, kill_group, spawn

__all__ = ["PostgresServer", "RabbitServer", "postgres_bin", "rabbit_bin"]

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_VHOST_BATCH = 20
_count = itertools.count(1)


def rabbit_bin() -> Path | None:
    """Return the folder of RabbitMQ's own scripts, not of a distribution's user-switching wrappers."""
    folders = [Path("/usr/lib/rabbitmq/bin"), Path("/opt/homebrew/opt/rabbitmq/sbin")]
    return next((folder for folder in folders if (folder / "rabbitmq-server").exists()), None)


def postgres_bin() -> Path | None:
    """Return the folder with ``initdb`` and ``postgres``, of the newest version if there are many."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(debian, key=lambda folder: int(folder.parent.name), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class _Server:
    """What both have in common: a directory, a process, a log, and their ends."""

    def __init__(self, name: str) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix=f"dagway-{name}-"))
        self.log = self.dir / "server.log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the server's process is there (it may still be starting)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the server that runs."""
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} was not started")
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it answers. Data of an earlier start is kept."""
        raise RuntimeError(type(self).__name__)

    def _signal_and_wait(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                kill_group(process)
        forget(process)
        self._process = None

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            kill_group(self._process)
            self._process = None

    def stop(self) -> None:
        """End it in good order."""
        self._signal_and_wait(signal.SIGTERM)

    def restart(self) -> None:
        """Stop in good order and start again."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Kill it and remove its directory: nothing of it is wanted any more."""
        self._kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def log_tail(self) -> str:
        """Return the last 3000 characters of the server's log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RabbitServer(_Server):
    """One RabbitMQ node without plugins, guest/guest, on a free port.

    ``conf``: further lines for ``rabbitmq.conf``.
    """

    def __init__(self, *, conf: str = "") -> None:
        folder = rabbit_bin()
        if folder is None:
            msg = "RabbitMQ is not installed"
            raise RuntimeError(msg)
        super().__init__("rabbit")
        self._bin = folder
        self._node = f"dagway-{os.getpid()}-{next(_count)}@localhost"
        self._epmd: subprocess.Popen[bytes] | None = None
        self._epmd_port = free_port()
        self._dist_port = free_port()
        self._vhosts = itertools.count(1)
        self._fresh: list[str] = []
        self._used: list[str] = []
        self._lock = threading.Lock()
        (self.dir / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "loopback_users = none\n"
            "disk_free_limit.absolute = 50MB\n"
            "log.file = false\n"
            "log.console = true\n"
            "log.console.level = warning\n"
            f"{conf}\n"
        )
        (self.dir / "enabled_plugins").write_text("[].\n")
        (self.dir / "env.conf").write_text("")

    @property
    def url(self) -> str:
        """The default vhost's URL."""
        return self.vhost_url("/")

    def vhost_url(self, vhost: str) -> str:
        """Return the URL of a vhost."""
        name = "%2F" if vhost == "/" else vhost
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{name}"

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.dir),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_BASE": str(self.dir),
            "RABBITMQ_MNESIA_BASE": str(self.dir / "data"),
            "RABBITMQ_LOG_BASE": str(self.dir / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.dir / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.dir / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.dir / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.dir / "pid"),
            # The one way by which the script becomes the Erlang VM instead of the parent of one.
            "RUNNING_UNDER_SYSTEMD": "true",
            # Two schedulers do for a test, and idle ones need not spin.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def start(self) -> None:
        """Start it and return when it takes AMQP connections (3 to 5 s)."""
        env = self._environment()
        if self._epmd is None or self._epmd.poll() is not None:
            epmd = shutil.which("epmd") or "epmd"
            argv = [epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = spawn(argv, env=env, cwd=self.dir, log=self.log)
            eventually(lambda: _listens(self._epmd_port), timeout_s=_START_TIMEOUT_S)
        self._process = spawn([str(self._bin / "rabbitmq-server")], env=env, cwd=self.dir, log=self.log)
        eventually(self._answers, timeout_s=_START_TIMEOUT_S, every_s=0.05)

    def _answers(self) -> bool:
        if not self.running:
            msg = f"RabbitMQ ended while starting:\n{self.log_tail()}"
            raise RuntimeError(msg)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
                # A protocol header it does not know: answered with its own, and no log entry of a broken login.
                link.sendall(b"AMQP\x00\x00\x00\x00")
                return link.recv(4) == b"AMQP"
        except OSError:
            return False

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would that comes at least 5 s after the last queue was declared.

        RabbitMQ 4.0 writes the registry of its quorum queues to disk every 5 s; a queue declared
        since stays unusable for ever after a crash, whatever its messages' confirms said. That is
        a broker's fault that no client can mend, so the registry is written first.
        """
        if self.running:
            self.ctl("eval", "[dets:sync(Table) || Table <- dets:all()], ok.")
        self._kill()

    def close(self) -> None:
        """Kill node and epmd and remove the directory."""
        self._kill()
        if self._epmd is not None:
            kill_group(self._epmd)
            self._epmd = None
        super().close()

    def ctl(self, *args: str, timeout_s: float = 60.0) -> str:
        """Run ``rabbitmqctl`` on this node (about 1 s) and return its output; a RuntimeError tells why it failed."""
        argv = [str(self._bin / "rabbitmqctl"), "--silent", "--node", self._node, *args]
        done = subprocess.run(
            argv, env=self._environment(), cwd=self.dir, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode:
            msg = f"rabbitmqctl {' '.join(args)}: {done.stdout}{done.stderr}"
            raise RuntimeError(msg)
        return done.stdout

    def create_vhost(self) -> str:
        """Return the URL of a vhost of its own; made by the batch, so that most calls cost nothing.

        Vhosts handed out before are emptied of queues when the next batch is made.
        """
        with self._lock:
            if not self._fresh:
                self._refill()
            name = self._fresh.pop(0)
            self._used.append(name)
        return self.vhost_url(name)

    def _refill(self) -> None:
        fresh = [f"t{next(self._vhosts)}" for _ in range(_VHOST_BATCH)]
        # The vhost in use by a test that asks for a second one must stay: keep the last batch's.
        old, self._used = self._used[:-_VHOST_BATCH], self._used[-_VHOST_BATCH:]
        erlang = (
            f'[ok = rabbit_vhost:delete(V, <<"harness">>) || V <- [{_binaries(old)}]],'
            f'[begin ok = rabbit_vhost:add(V, <<"harness">>),'
            f' ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, V,'
            f' <<".*">>, <<".*">>, <<".*">>, <<"harness">>) end || V <- [{_binaries(fresh)}]], ok.'
        )
        self.ctl("eval", erlang)
        self._fresh = fresh


def _binaries(names: list[str]) -> str:
    return ",".join(f'<<"{name}">>' for name in names)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


class PostgresServer(_Server):
    """One Postgres with a superuser ``postgres`` and no passwords, on a free loopback port.

    ``fsync``: sync to disk as a production server does. Without it a killed server still keeps
    every commit (the kernel has them); only a machine's crash would not.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        folder = postgres_bin()
        if folder is None:
            msg = "Postgres is not installed"
            raise RuntimeError(msg)
        super().__init__("postgres")
        self._bin = folder
        self._data = self.dir / "data"
        self._user = _unprivileged_user()
        self._fsync = "on" if fsync else "off"
        self._databases = itertools.count(1)
        self._migrated: str | None = None
        if self._user is not None:
            shutil.chown(self.dir, self._user)

    @property
    def url(self) -> str:
        """The superuser's URL of the maintenance database."""
        return self.database_url("postgres")

    def database_url(self, database: str) -> str:
        """Return the superuser's URL of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and return when it answers queries (under 1 s, the first time 2 s)."""
        if not self._data.exists():
            self._run(
                "initdb", "--pgdata", str(self._data), "--username=postgres", "--auth=trust",
                "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
            )  # fmt: skip
        eventually(self._launched_and_answers, timeout_s=_START_TIMEOUT_S, every_s=0.05)

    def _launched_and_answers(self) -> bool:
        if not self.running:
            # Right after a kill the old backends may still hold the shared memory: then it ends, and is tried again.
            if self._process is not None:
                forget(self._process)
            self._process = spawn(self._argv(), env=self._environment(), cwd=self.dir, log=self.log, user=self._user)
        try:
            psycopg2.connect(self.url, connect_timeout=5).close()
        except psycopg2.OperationalError as refused:
            msg = f"{refused}\n{self.log_tail()}"
            raise AssertionError(msg) from refused
        return True

    def _argv(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": self._fsync,
            "full_page_writes": self._fsync,
            "max_connections": "300",
            "shared_buffers": "64MB",
            "dynamic_shared_memory_type": "mmap",
            # Tests tell by it in which order transactions came.
            "track_commit_timestamp": "on",
        }
        argv = [str(self._bin / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return argv

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", "HOME": str(self.dir)}

    def _run(self, program: str, *args: str) -> None:
        process = spawn(
            [str(self._bin / program), *args], env=self._environment(), cwd=self.dir, log=self.log, user=self._user
        )
        code = process.wait(_START_TIMEOUT_S)
        forget(process)
        if code:
            msg = f"{program} failed:\n{self.log_tail()}"
            raise RuntimeError(msg)

    def stop(self) -> None:
        """End it in good order ("fast": open sessions are ended)."""
        self._signal_and_wait(signal.SIGINT)

    def execute(self, statement: str | sql.Composable, *, database: str = "postgres") -> None:
        """Run one statement as the superuser, outside of any transaction."""
        with closing(psycopg2.connect(self.database_url(database), connect_timeout=5)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def create_database(self, *, template: str | None = None) -> str:
        """Create a database of its own, a copy of ``template`` if given, and return its URL."""
        name = f"t{os.getpid()}_{next(self._databases)}"
        source = sql.Identifier(template or "template1")
        # Without fsync a copy of the files is the quicker of the two strategies.
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self.execute(create.format(sql.Identifier(name), source))
        return self.database_url(name)

    def create_migrated_database(self) -> str:
        """Create a database with the current schema and return its URL (70 ms; the first takes a second)."""
        if self._migrated is None:
            url = self.create_database()
            migrate(url)
            self._migrated = url.rsplit("/", 1)[1]
        return self.create_database(template=self._migrated)


def _unprivileged_user() -> str | None:
    """Return whom to run Postgres as: it refuses root. ``None``: as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    msg = "Postgres refuses to run as root and there is no other user"
    raise RuntimeError(msg)
