"""Three RabbitMQ nodes that form a cluster by the settings in ``deploy/rabbitmq``."""

import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.eventually import eventually
from tests.harness.servers.base import START_TIMEOUT_S
from tests.harness.servers.rabbit import RabbitServer

__all__ = ["RabbitCluster"]

_SETTINGS = Path(__file__).parents[3] / "deploy" / "rabbitmq"


class RabbitCluster:
    """A cluster with the shipped settings. ``users``: a folder with the definitions of its logins.

    Only what names other machines is replaced: the nodes, the folder of definitions, and the limit of free disk space.

    ``hurried``: the nodes keep their files in memory and run before other processes. While they form a cluster, they
    send each other thousands of messages one after the other. On a busy machine each waits for its turn, which takes
    four minutes instead of half a minute, for 4 s of CPU time.
    """

    def __init__(self, users: Path, *, hurried: bool = False) -> None:
        self._definitions = Path(tempfile.mkdtemp(prefix="dagway-definitions-"))
        for file in [_SETTINGS / "cluster-definitions.json", *users.iterdir()]:
            shutil.copy(file, self._definitions)
        first = RabbitServer(in_memory=hurried, urgent=hurried)
        others = [RabbitServer(beside=first, in_memory=hurried, urgent=hurried) for _ in range(2)]
        self.nodes = [first, *others]
        conf = (_SETTINGS / "cluster.conf").read_text()
        replaced: Mapping[str, str] = {
            r"definitions\.local\.path": str(self._definitions),
            r"disk_free_limit\.absolute": "50MB",
            **{
                rf"cluster_formation\.classic_config\.nodes\.{number}": node.node
                for number, node in enumerate(self.nodes, 1)
            },
        }
        for key, value in replaced.items():
            conf, count = re.subn(rf"(?m)^({key}) = .*$", rf"\1 = {value}", conf)
            assert count == 1, f"cluster.conf has no setting {key}"
        for node in self.nodes:
            node.add_conf(conf)
        # The nodes start at the same time, so none of them may have to make the cookie.
        cookie = first.dir / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)

    def urls(self, passwords: Mapping[str, str], *, nodes: Sequence[RabbitServer]) -> Mapping[str, str]:
        """Return a broker URL for each login, which names ``nodes``."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        return {login: f"amqp://{login}:{password}@{hosts}/dagway" for login, password in passwords.items()}

    def home_of(self, queue: str) -> RabbitServer:
        """Return the node of a classic queue, or the node of the leader of a quorum queue."""
        asked = next(node for node in self.nodes if node.running)
        return next(node for node in self.nodes if node.node == self.queues(asked)[queue]["leader"])

    def queues(self, asked: RabbitServer) -> dict[str, dict[str, Any]]:
        """Return name, type, leader and members of all queues by name, as one node knows them."""
        # `rabbitmqctl list_queues` prints the same, after a second of CPU time.
        path = asked.dir / "queues.json"
        asked.eval(
            'Rows = [maps:from_list([{name, Name} | Items]) || Queue <- rabbit_amqqueue:list(<<"dagway">>),'
            " {resource, _, queue, Name} <- [amqqueue:get_name(Queue)],"
            " Items <- [rabbit_amqqueue:info(Queue, [type, leader, members])]],"
            f' ok = file:write_file("{path}", rabbit_json:encode(Rows)), ok.'
        )
        return {row["name"]: row for row in json.loads(path.read_text())}

    def cut_off(self, node: RabbitServer) -> None:
        """Part a node from the others: each side takes the other for dead, and clients reach both.

        The shipped settings then stop the node's listeners, as it is in the minority.
        """
        # Without the same cookie two nodes do not connect, whichever of them tries.
        self._others(node, "erlang:set_cookie(N, apart), erlang:disconnect_node(N)")

    def rejoin(self, node: RabbitServer) -> None:
        """End ``cut_off``, and wait until the node serves clients again.

        On a busy machine a node that rejoins may end instead. It is then started again, as Kubernetes would.
        """

        def mended() -> bool:
            if not node.running:
                return True  # the others never refused it, and it forgets whom it refused
            try:
                self._others(node, "erlang:set_cookie(N, erlang:get_cookie())")
            except RuntimeError as error:
                raise AssertionError(str(error)) from error
            return True

        def serves() -> bool:
            if not node.running:
                node.begin()
            return node.answers()

        eventually(mended, timeout_s=START_TIMEOUT_S)
        eventually(serves, timeout_s=START_TIMEOUT_S)

    def _others(self, node: RabbitServer, erlang: str) -> None:
        names = ",".join(f"'{other.node}'" for other in self.nodes if other is not node)
        node.eval(f"[begin {erlang} end || N <- [{names}]], ok.")

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.begin()
            for node in self.nodes:
                node.wait_started()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Kill all nodes and remove their directories."""
        # The first node's epmd serves them all, so it ends last.
        for node in reversed(self.nodes):
            node.close()
        shutil.rmtree(self._definitions, ignore_errors=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
