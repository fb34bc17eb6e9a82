"""Hostile requests, YAML files and archives, again and again: the gateway keeps its size and answers others meanwhile.

``DAGWAY_TEST_ROUNDS`` is the number of rounds after the first ones (4). ``make attack`` sends more and prints how long
harmless requests took.
"""

import os
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.conformance.hostile_requests import HOSTILE_REQUESTS
from tests.harness.client import Client, send_raw
from tests.harness.cluster import Deployment, descendants
from tests.integration.hostile_archives import HOSTILE_ARCHIVES
from tests.unit.language.hostile_yaml import ALIAS_BOMB, HOSTILE_YAML

_ROUNDS = int(os.environ.get("DAGWAY_TEST_ROUNDS", "4"))
_FIRST_ROUNDS = 2
"""After these all code is loaded and all caches are filled that may fill."""
_MOST_GROWTH = 12 << 20
"""Four rounds send 18 MiB, so a gateway that kept what it refuses would grow by more."""
_SPECS = [*(text for text, _ in HOSTILE_YAML), ALIAS_BOMB]
_EXTRACTING = "type: graph\nsteps:\n" + "".join(
    f"""\
  - name: s{number}
    type: archive
    command: extract
    continueOn: {{failure: true}}
    config:
      source: FOLDER/{make.__name__}/bad
      destination: FOLDER/{make.__name__}/back
      exclude: [skipped]
      overwrite: true
      maxEntries: 100
      maxBytes: 1048576
"""
    for number, make in enumerate(HOSTILE_ARCHIVES)
)


def _resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and of those that it has started, without steps."""
    total = 0
    for each in (pid, *descendants(pid)):
        with suppress(FileNotFoundError, ProcessLookupError):
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


@contextmanager
def _others_are_answered(client: Client, port: int) -> Iterator[list[float]]:
    """Send harmless requests until the block ends, each of which must succeed. Yields how long each took, in ms."""
    took: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set() or not took:
            for path in ("/health", "/dags"):
                began = time.perf_counter()
                assert client.once("GET", path, port=port).status == 200
                took.append((time.perf_counter() - began) * 1000)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield took
        finally:
            stop.set()
        asking.result()


def _attack(client: Client, port: int, archives: list[bytes]) -> None:
    for request in HOSTILE_REQUESTS.values():
        send_raw(port, request)
    for spec in _SPECS:
        answer = client.once("POST", "/dags/validate", {"spec": spec}, port=port)
        assert answer.status < 500, answer
        assert answer.status != 200 or answer.json["valid"] is False, spec[:80]
    for archive in archives:
        assert 400 <= client.once("POST", "/dags", archive, port=port).status < 500


def _archive(folder: Path, make: Callable[[tarfile.TarFile], None]) -> bytes:
    """Make an archive and what it attacks: a file beside its destination, and a link in there that leads out."""
    (folder / "back").mkdir(parents=True)
    (folder / "back/existing").symlink_to("..")
    (folder / "victim").write_text("mine")
    with tarfile.open(folder / "bad", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        make(tar)
    return (folder / "bad").read_bytes()


def _extract(client: Client, name: str, run_id: str) -> None:
    client.start(name, run_id)
    client.until("failed", name, run_id)
    assert set(client.steps(name, run_id).values()) == {"failed"}


def test_attacks_neither_grow_the_gateway_nor_keep_others_from_it(deployment: Deployment, tmp_path: Path) -> None:
    client, gateway = deployment.client, deployment.gateways[0]
    port = int(urlsplit(client.base).port or 0)
    archives = [_archive(tmp_path / make.__name__, make) for make in HOSTILE_ARCHIVES]
    name = f"attack-{deployment.name}"
    client.create(name, _EXTRACTING.replace("FOLDER", str(tmp_path)))

    with _others_are_answered(client, port) as took:
        for _ in range(_FIRST_ROUNDS):
            _attack(client, port, archives)
        _extract(client, name, "first")
        before = _resident_bytes(gateway.pid)
        for _ in range(_ROUNDS):
            _attack(client, port, archives)
        _extract(client, name, "last")
        after = _resident_bytes(gateway.pid)

    assert {path.read_text() for path in tmp_path.glob("*/victim")} == {"mine"}
    took.sort()
    latencies = ", ".join(f"P{percent} {took[len(took) * percent // 100]:.0f} ms" for percent in (50, 90, 99))
    sys.stdout.write(
        f"{deployment.name}: {before >> 20} MiB before, {after >> 20} MiB after {_ROUNDS} rounds; "
        f"{len(took)} harmless requests, {latencies}\n"
    )
    assert after - before < _MOST_GROWTH
