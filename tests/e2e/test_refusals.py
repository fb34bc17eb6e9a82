"""What keeps a process from starting is one line that says what to mend."""

from pathlib import Path

import pytest

from tests.harness.procs import refused


@pytest.mark.parametrize("kind", ["up", "scheduler"])
def test_a_faulty_base_configuration_keeps_what_would_run_with_it_from_starting(tmp_path: Path, kind: str) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("env: [STAGE: prod]\nenvv: x\n")
    servers = {"DAGWAY_DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "DAGWAY_AMQP_URL": "amqp://127.0.0.1:1/"}

    said = refused(tmp_path, kind, DAGWAY_BASE_CONFIG=str(base), **({} if kind == "up" else servers))

    assert "DAGWAY_BASE_CONFIG" in said
    assert "base configuration: line 2, column 1: has invalid keys: envv" in said
