"""RabbitMQ for tests."""

import itertools
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.harness.eventually import PATIENCE_S, eventually, free_port
from tests.harness.reaper import kill_group, spawn
from tests.harness.servers.base import START_TIMEOUT_S, Server

__all__ = ["RabbitServer", "rabbit_bin"]

_VHOST_BATCH = 20
_count = itertools.count(1)


def rabbit_bin() -> Path | None:
    """Return the folder of RabbitMQ's own scripts, not of a distribution's wrappers, which switch the user."""
    folders = [Path("/usr/lib/rabbitmq/bin"), Path("/opt/homebrew/opt/rabbitmq/sbin")]
    return next((folder for folder in folders if (folder / "rabbitmq-server").exists()), None)


class RabbitServer(Server):
    """One RabbitMQ node on a free port, with the user and password guest.

    ``conf`` adds lines to ``rabbitmq.conf``, and ``plugins`` are enabled. ``beside``: another node, whose epmd and
    cookie this node shares, so that both can form a cluster; see ``RabbitCluster``. ``urgent``: the node runs before
    other processes, if this user may ask for that.
    """

    def __init__(
        self,
        *,
        conf: str = "",
        plugins: Sequence[str] = (),
        beside: "RabbitServer | None" = None,
        in_memory: bool = False,
        urgent: bool = False,
    ) -> None:
        folder = rabbit_bin()
        if folder is None:
            msg = "RabbitMQ is not installed"
            raise RuntimeError(msg)
        super().__init__("rabbit", in_memory=in_memory)
        self._bin = folder
        self._urgent = urgent
        self.node = f"dagway-{os.getpid()}-{next(_count)}@localhost"
        self._home: RabbitServer = self if beside is None else beside._home
        self._epmd: subprocess.Popen[bytes] | None = None
        self._epmd_port: int = free_port() if beside is None else beside._epmd_port
        self._dist_port = free_port()
        self._vhosts = itertools.count(1)
        self._fresh: list[str] = []
        self._released: list[str] = []
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
        (self.dir / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
        (self.dir / "env.conf").write_text("")

    def add_conf(self, lines: str) -> None:
        """Add lines to ``rabbitmq.conf``. A later line replaces an earlier one with the same setting."""
        with (self.dir / "rabbitmq.conf").open("a") as conf:
            conf.write(f"{lines}\n")

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
            "HOME": str(self._home.dir),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_BASE": str(self.dir),
            "RABBITMQ_MNESIA_BASE": str(self.dir / "data"),
            "RABBITMQ_LOG_BASE": str(self.dir / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.dir / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.dir / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.dir / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.dir / "pid"),
            # Only so does the script replace itself by the Erlang VM, instead of starting it as a child.
            "RUNNING_UNDER_SYSTEMD": "true",
            # Two Erlang schedulers suffice for a test, and idle ones need not spin.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def start(self) -> None:
        """Start the node and return when it accepts AMQP connections (3 to 5 s)."""
        self.begin()
        self.wait_started()

    def begin(self) -> None:
        """Start the node without waiting for it."""
        self._home._start_epmd()
        # Without the right to do so, ``nice`` says so and runs the program all the same.
        argv = [*(["nice", "-n", "-10"] if self._urgent else []), str(self._bin / "rabbitmq-server")]
        self._process = spawn(argv, env=self._environment(), cwd=self.dir, log=self.log)

    def wait_started(self) -> None:
        """Wait until the node accepts AMQP connections."""
        eventually(self.answers, timeout_s=START_TIMEOUT_S, every_s=0.05)

    def _start_epmd(self) -> None:
        if self._epmd is None or self._epmd.poll() is not None:
            epmd = shutil.which("epmd") or "epmd"
            argv = [epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = spawn(argv, env=self._environment(), cwd=self.dir, log=self.log)
            eventually(lambda: _listens(self._epmd_port), timeout_s=START_TIMEOUT_S)

    def answers(self) -> bool:
        """Whether the node accepts AMQP connections. Raises ``RuntimeError`` if it has ended."""
        if not self.running:
            msg = f"RabbitMQ ended while starting:\n{self.log_tail()}"
            raise RuntimeError(msg)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
                # The node answers an unknown protocol header with its own header, without logging a failed login.
                link.sendall(b"AMQP\x00\x00\x00\x00")
                return link.recv(4) == b"AMQP"
        except OSError:
            return False

    def kill(self) -> None:
        """Kill the node by SIGKILL, as a crash at least 5 s after the declaration of the last queue would.

        RabbitMQ 4.0 writes the registry of its quorum queues to disk every 5 s. After a crash, a queue
        declared since the last write is unusable for ever, even if its messages were confirmed. No
        client can work around this bug of the broker, so the registry is written before the kill.
        """
        if self.running:
            self.eval("[dets:sync(Table) || Table <- dets:all()], ok.")
        self._kill()

    def close(self) -> None:
        """Kill node and epmd and remove the directory."""
        self._kill()
        if self._epmd is not None:
            kill_group(self._epmd)
            self._epmd = None
        super().close()

    def ctl(self, *args: str) -> str:
        """Run ``rabbitmqctl`` on this node (1 s, on a busy machine 25 s) and return its output.

        Raises ``RuntimeError`` if it fails.
        """
        argv = [str(self._bin / "rabbitmqctl"), "--silent", "--node", self.node, *args]
        done = subprocess.run(
            argv, env=self._environment(), cwd=self.dir, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        if done.returncode:
            msg = f"rabbitmqctl {' '.join(args)}: {done.stdout}{done.stderr}"
            raise RuntimeError(msg)
        return done.stdout

    def eval(self, erlang: str) -> None:
        """Run Erlang expressions that end in ``ok.`` on this node: in 3 ms by ``erl_call``, in 1 s without it.

        Raises:
            RuntimeError: the expressions failed; the text is their result.
        """
        program = shutil.which("erl_call")
        if program is None:
            self.ctl("eval", erlang)
            return
        cookie = (self._home.dir / ".erlang.cookie").read_text()
        # By default each call has the same name, and the node refuses a call while it knows another of that name.
        name = f"call-{os.getpid()}-{next(_count)}"
        argv = [program, "-h", name, "-c", cookie, "-sname", self.node, "-timeout", f"{PATIENCE_S:.0f}", "-e"]
        done = subprocess.run(
            argv,
            env=self._environment(),
            cwd=self.dir,
            input=erlang + "\n",
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if done.returncode or done.stdout.strip() != "{ok, ok}":
            raise RuntimeError(f"erl_call {erlang}: {done.stdout}{done.stderr}")

    def close_connections(self) -> None:
        """Close all connections of clients, as ``rabbitmqctl close_all_connections`` does."""
        self.eval('rabbit_networking:close_all_connections("test"), ok.')

    def delete_queue(self, vhost_url: str, queue: str) -> None:
        """Delete a queue with its messages, as ``rabbitmqctl delete_queue`` does."""
        vhost = vhost_url.rpartition("/")[2]
        self.eval(
            f'{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)),'
            ' {ok, _} = rabbit_amqqueue:delete(Queue, false, false, <<"harness">>), ok.'
        )

    def held(self, vhost_url: str, queue: str) -> int:
        """Return how many messages of a queue are not acknowledged, whether or not a consumer has received them."""
        vhost = vhost_url.rpartition("/")[2]
        path = self.dir / "held"
        self.eval(
            f'{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)),'
            " [{messages, Count}] = rabbit_amqqueue:info(Queue, [messages]),"
            f' ok = file:write_file("{path}", integer_to_binary(Count)), ok.'
        )
        return int(path.read_text())

    def limit_memory(self, limit: str) -> None:
        """Set the memory above which the node blocks publishers: a share of all (``0.6``) or ``{absolute, BYTES}``."""
        self.eval(f"ok = vm_memory_monitor:set_vm_memory_high_watermark({limit}), ok.")

    def create_vhost(self) -> str:
        """Return the URL of a new vhost, which stays until ``release_vhost``.

        Vhosts are created in batches, so that most calls take no time. The next batch deletes the released ones.
        """
        with self._lock:
            if not self._fresh:
                self._refill()
            return self.vhost_url(self._fresh.pop(0))

    def release_vhost(self, url: str) -> None:
        """Let a vhost go of which no test will hear again."""
        with self._lock:
            self._released.append(url.rpartition("/")[2])

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """Yield the URL of a new vhost, and release it."""
        url = self.create_vhost()
        try:
            yield url
        finally:
            self.release_vhost(url)

    def _refill(self) -> None:
        fresh = [f"t{next(self._vhosts)}" for _ in range(_VHOST_BATCH)]
        old, self._released = self._released, []
        erlang = (
            f'[ok = rabbit_vhost:delete(V, <<"harness">>) || V <- [{_binaries(old)}]],'
            f'[begin ok = rabbit_vhost:add(V, <<"harness">>),'
            f' ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, V,'
            f' <<".*">>, <<".*">>, <<".*">>, <<"harness">>) end || V <- [{_binaries(fresh)}]], ok.'
        )
        self.eval(erlang)
        self._fresh = fresh


def _binaries(names: list[str]) -> str:
    return ",".join(f'<<"{name}">>' for name in names)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
