"""A process that cannot start prints one line that says what to change."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shared.transport.base import COMMANDS, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.cluster import Embedded
from tests.harness.eventually import PATIENCE_S, free_port
from tests.harness.procs import DagwayProcess, refused

AWAY = {"DAGWAY_DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "DAGWAY_AMQP_URL": "amqp://127.0.0.1:1/"}


@pytest.fixture
def taken() -> Iterator[str]:
    """A port on which another process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield str(listening.getsockname()[1])


def test_a_port_that_is_taken_is_named(tmp_path: Path, taken: str) -> None:
    said = refused(tmp_path, "up", "--port", taken)

    problem = f"DAGWAY_PORT: cannot listen on 127.0.0.1, port {taken}: Address already in use"
    assert said.endswith(f"{problem}; choose another with --port"), said


@pytest.mark.parametrize("kind", ["up", "api", "scheduler", "worker"])
def test_a_port_for_metrics_that_is_taken_is_named(tmp_path: Path, taken: str, kind: str) -> None:
    env = {
        "up": {"DAGWAY_PORT": "0"},
        "api": {"DAGWAY_PORT": str(free_port()), **AWAY},
        "scheduler": AWAY,
        "worker": {"DAGWAY_AMQP_URL": AWAY["DAGWAY_AMQP_URL"]},
    }[kind]
    with DagwayProcess(kind, "--metrics-port", taken, folder=tmp_path, env=env) as process:
        assert process.wait_exit() == 2, process.output()

    # One line, and nothing else: a thread that has started may still run while the interpreter ends.
    assert "Traceback" not in process.output()
    assert "started" not in process.output()
    assert f"DAGWAY_METRICS_PORT: cannot listen on 127.0.0.1, port {taken}: Address already in use" in process.output()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.invalid"])
def test_an_address_that_is_not_this_machines_is_named(tmp_path: Path, host: str) -> None:
    said = refused(tmp_path, "up", "--host", host, "--port", "8080", "--auth-mode", "none")

    assert f"DAGWAY_HOST, DAGWAY_PORT: cannot listen on {host}, port 8080: " in said


@pytest.mark.parametrize("kind", ["up", "api"])
def test_a_gateway_that_others_can_reach_does_not_start_without_a_login(tmp_path: Path, kind: str) -> None:
    said = refused(
        tmp_path, kind, "--host", "0.0.0.0", "--port", "0", "--database-url", "sqlite:///x", "--amqp-url", "x"
    )

    assert "DAGWAY_HOST: the gateway would listen on 0.0.0.0 without a login" in said
    assert "DAGWAY_AUTH_MODE=builtin" in said


@pytest.mark.parametrize("kind", ["up", "worker"])
@pytest.mark.parametrize(("folder", "why"), [("file", "File exists"), ("file/below", "Not a directory")])
def test_an_unusable_data_folder_is_named(tmp_path: Path, kind: str, folder: str, why: str) -> None:
    (tmp_path / "file").touch()
    env = {} if kind == "up" else {"DAGWAY_AMQP_URL": AWAY["DAGWAY_AMQP_URL"]}

    said = refused(tmp_path, kind, "--data-dir", str(tmp_path / folder), **env)

    assert f"DAGWAY_DATA_DIR: cannot create the folder {tmp_path / folder}: {why}" in said


def test_a_second_process_on_a_data_folder_is_refused_because_of_the_first(tmp_path: Path) -> None:
    with Embedded(tmp_path / "one") as first:
        said = refused(tmp_path / "two", "up", "--data-dir", str(first.data_dir), "--port", "0")

        asked = refused(tmp_path / "three", "dead-letters", "list", "--data-dir", str(first.data_dir))

    assert "another dagway uses this folder" in said
    assert "another dagway uses this folder" in asked


def test_a_process_that_cannot_start_returns_no_message(tmp_path: Path, taken: str) -> None:
    """After too many returns a message would be a dead letter."""
    journal = tmp_path / "transport.sqlite3"
    with closing(EmbeddedTransport(journal)) as transport:
        transport.consume([COMMANDS], prefetch=1).close()  # which creates the broker queue
        transport.send(Outgoing(COMMANDS, b"{}", "c1")).result(PATIENCE_S)

    for number in range(2):
        refused(tmp_path / str(number), "up", "--data-dir", str(tmp_path), "--port", taken)

    with closing(EmbeddedTransport(journal)) as transport:
        (command,) = transport.consume([COMMANDS], prefetch=1).take(1, PATIENCE_S)
        assert (command.body, command.redelivered) == (b"{}", False)


@pytest.mark.parametrize("kind", ["up", "scheduler"])
def test_a_faulty_base_configuration_keeps_what_would_run_with_it_from_starting(tmp_path: Path, kind: str) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("env: [STAGE: prod]\nenvv: x\n")
    said = refused(tmp_path, kind, DAGWAY_BASE_CONFIG=str(base), **({} if kind == "up" else AWAY))

    assert "DAGWAY_BASE_CONFIG" in said
    assert "base configuration: line 2, column 1: has invalid keys: envv" in said
