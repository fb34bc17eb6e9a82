"""The README, the tutorial and the recipes work as printed: their commands, and the workflows that they show."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness.client import Client
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import DagwayProcess, clean_environment

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SERVER = "dagway up --dags dags"
ONCE = re.compile(r"POST|dagway (run|start|retry|approve)|>")
"""Commands that the test gives once, as a reader does. Only reading may be repeated, until the run has ended."""


class Reader(NamedTuple):
    """Somebody who follows a page in ``folder``, where ``dags`` is the folder of a server on port ``port``."""

    folder: Path
    port: int

    def give(self, command: str, expected: str) -> None:
        """Give a command and compare what it prints. In ``expected``, ``…`` is any text of one line."""
        here = command.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        here = here.replace("/tmp/dagway-readme", str(self.folder / "readme"))
        here = here.replace("curl ", "curl -s ", 1) if "curl -s" not in here else here
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = clean_environment(self.folder, PATH=path, DAGWAY_URL=f"http://127.0.0.1:{self.port}")
        pattern = re.escape(expected.rstrip("\n")).replace("…", ".*")

        def said() -> None:
            argv = ["bash", "-c", here]
            done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, cwd=self.folder)
            shown = f"{here}\nprinted {done.stdout}\nand on stderr {done.stderr}"
            assert re.fullmatch(pattern, done.stdout.rstrip("\n")), shown

        if ONCE.search(here):
            said()
        else:
            eventually(said)

    def save(self, *workflows: str) -> None:
        """Save workflows under the names in their first lines, and wait until the server has loaded them."""
        client = Client([self.port])
        texts = {workflow.partition("\n")[0].removeprefix("# "): workflow for workflow in workflows}
        for name, text in texts.items():
            assert name.endswith(".yaml")
            (self.folder / "dags" / name).write_text(text)
        for name, text in texts.items():
            path = f"/dags/{name.removesuffix('.yaml')}/spec"
            eventually(lambda path=path, text=text: client.once("GET", path).json.get("spec") == text)  # type: ignore[misc]
        client.close()


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the language and the text of each code block."""
    return BLOCK.findall((ROOT / page).read_text())


def dialogue(block: str) -> list[tuple[str, str]]:
    """Return the commands of a block, each with the output that the block shows."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("reader")
    # A copy, because DAGs that the pages create are written to the folder.
    shutil.copytree(ROOT / "examples", folder / "dags")
    port = free_port()
    env = {"DAGWAY_PORT": str(port), "DAGWAY_DATA_DIR": str(folder / "data")}
    with DagwayProcess(*SERVER.split()[1:], folder=folder, env=env) as process:
        process.wait_ready(f"http://127.0.0.1:{port}/api/v2/health")
        yield Reader(folder, port)


def test_every_command_prints_what_the_readme_says(reader: Reader) -> None:
    commands = [pair for kind, text in blocks("README.md") if kind == "console" for pair in dialogue(text)]
    assert len(commands) >= 8

    for command, expected in commands:
        reader.give(command, expected)


def test_the_readme_shows_the_example_that_it_names() -> None:
    lines = (ROOT / "examples" / "hello.yaml").read_text().splitlines()
    example = [line for line in lines if line and not line.lstrip().startswith("#")]

    assert [text.splitlines() for kind, text in blocks("README.md") if kind == "yaml"] == [example]


def test_the_tutorial_works_block_by_block(reader: Reader) -> None:
    for kind, text in blocks("docs/tutorial.md"):
        match kind:
            case "yaml":
                reader.save(text)
            case "console":
                for command, expected in dialogue(text):
                    reader.give(command, expected)
            case _:
                assert (kind, text.strip()) == ("sh", SERVER)


def test_the_recipes_that_need_only_this_machine_run(reader: Reader) -> None:
    incoming = reader.folder / "incoming"
    incoming.mkdir()
    (incoming / "orders.csv").write_text("1\n2\n")
    (reader.folder / "dags" / "token.txt").write_text("sesame-sesame\n")
    runs = {
        "backup": ("succeeded", f"SOURCE={incoming} TARGET={reader.folder}/backups"),
        "fan-out-files": ("succeeded", f"FOLDER={incoming}"),
        "poll": ("succeeded", f"URL=http://127.0.0.1:{reader.port}/api/v2/health"),
        "deploy": ("waiting", ""),
        "hourly": ("succeeded", ""),
        "month-end": ("succeeded", ""),
        "fetch-report": ("succeeded", f"URL={(incoming / 'orders.csv').as_uri()}"),
    }
    reader.save(*(workflow for _, workflow in blocks("docs/recipes.md")))
    client = Client([reader.port])

    for name, (_, params) in runs.items():
        client.start(name, params=params)
    for name, (status, _) in runs.items():
        client.until(status, name)
    client.ask("POST", "/dag-runs/deploy/r1/steps/sign-off/approve", {"inputs": {"TICKET": "OPS-7"}})
    client.until("succeeded", "deploy")
    assert client.text("deploy", "r1", "deploy") == "deployed 1.4.0 for OPS-7"
    assert client.text("fan-out-files", "r1", "report") == "1 of 1 files counted"
    assert client.text("month-end", "r1", "report") == "eu closed 2026-10, us closed 2026-10"
    assert list((reader.folder / "backups").glob("20*.tar.gz"))
    client.close()
