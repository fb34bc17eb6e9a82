"""Every command of the README works as printed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.eventually import eventually, free_port
from tests.harness.procs import DagwayProcess, clean_environment

ROOT = Path(__file__).parents[2]
PRINTED = re.compile(r"```console\n(.*?)```", re.DOTALL)


def dialogue() -> list[tuple[str, str]]:
    """The README's commands, with the output that the README shows."""
    found = []
    for block in PRINTED.findall((ROOT / "README.md").read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    # A copy, because the DAG that the README creates is written to the folder.
    shutil.copytree(ROOT / "examples", tmp_path / "dags")
    env = {
        "DAGWAY_PORT": str(port),
        "DAGWAY_DATA_DIR": str(tmp_path / "data"),
        "DAGWAY_DAGS_DIR": str(tmp_path / "dags"),
    }
    with DagwayProcess("up", folder=tmp_path, env=env) as process:
        process.wait_ready(f"http://127.0.0.1:{port}/api/v2/health")
        yield f"127.0.0.1:{port}"


def test_every_command_prints_what_the_readme_says(address: str, tmp_path: Path) -> None:
    commands = dialogue()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = clean_environment(tmp_path, PATH=path, DAGWAY_URL=f"http://{address}")
    assert len(commands) >= 8

    for command, expected in commands:
        here = command.replace("127.0.0.1:8080", address).replace("/tmp/dagway-readme", str(tmp_path / "readme"))
        here = here.replace("curl ", "curl -s ", 1) if "curl -s" not in here else here

        def said(here: str = here, expected: str = expected) -> None:
            printed = subprocess.run(["bash", "-c", here], capture_output=True, text=True, check=False, env=env).stdout
            assert printed.rstrip("\n") == expected.rstrip("\n"), f"{here}\nprinted {printed}"

        # A reader takes longer than a run; only reading may be repeated.
        if re.search("POST|dagway (start|retry)", here):
            said()
        else:
            eventually(said)
