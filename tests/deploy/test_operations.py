"""The commands of docs/operations: ``live`` runs every page, and the commands that it cannot run are tested here."""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import insert, inspect, select

from shared.clock import utc_now
from shared.store import tables as t
from shared.store.engine import open_engine, transaction
from shared.store.migrate import migrate
from tests.alerts.pages import cures_of
from tests.deploy.live import ORDER, PAGES, ROOT, blocks, runnable
from tests.deploy.live_alerts import STOPPED
from tests.deploy.live_system import DisturbedSystem
from tests.harness.eventually import eventually
from tests.harness.needs import need
from tests.harness.servers import postgres_bin

_SETTING = re.compile(r"[A-Z_]+=\S*(\s+#.*)?")
"""Matches a line of an environment file, which is not a command."""


def _commands(page: Path) -> list[str]:
    lines = [line for block in blocks(page) for line in runnable(block).splitlines()]
    return [line for line in lines if line and not _SETTING.fullmatch(line)]


def test_every_page_with_commands_is_run_on_a_real_system() -> None:
    with_commands = {page.stem for page in PAGES.glob("*.md") if _commands(page)}

    assert with_commands == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


def test_the_live_run_can_carry_out_what_the_runbooks_say() -> None:
    for stopped in STOPPED:
        for service, (alert, says) in stopped.items():
            assert [cure.for_compose for cure in cures_of(alert, says)] == [(f"docker compose restart {service}",)]


def test_a_question_of_the_live_run_that_fails_once_is_asked_again(tmp_path: Path) -> None:
    system = DisturbedSystem(tmp_path)

    assert eventually(lambda: system.answer("test -e asked || { touch asked; exit 137; }; echo firing")) == "firing\n"


def test_no_command_prompts_for_input() -> None:
    for page in PAGES.glob("*.md"):
        for command in _commands(page):
            assert "exec" not in command.split() or "-T" in command.split(), command
            assert "\\password" not in command, command


def test_no_page_runs_the_command_line_on_the_machine_itself() -> None:
    """There it is not installed or logged in, and its examples have made-up names: their blocks are not ``sh``."""
    for page in PAGES.glob("*.md"):
        for command in _commands(page):
            assert not command.startswith("dagway "), command


def test_every_user_of_the_database_gets_its_new_password() -> None:
    made = subprocess.run([ROOT / "deploy/make-secrets", "compose"], capture_output=True, text=True, check=True).stdout
    sql = subprocess.run(
        [ROOT / "deploy/make-secrets", "sql"], input=made, capture_output=True, text=True, check=True
    ).stdout

    users = dict(re.findall(r"ALTER ROLE (\w+) PASSWORD '(\w+)';", sql))
    values = dict(line.split("=", 1) for line in made.splitlines() if "=" in line)
    url = re.findall(r"postgresql://(\w+):\$\{(\w+)", (ROOT / "docker-compose.yml").read_text())
    assert {user: users[user] for user, _ in url} == {user: values[variable] for user, variable in url}
    assert users["postgres"] == values["POSTGRES_PASSWORD"]
    assert len(sql.splitlines()) == len(users) == 4


def test_a_copy_can_be_restored(database_url: str, tmp_path: Path) -> None:
    """Runs the commands of backup.md. Restored is what the backup has, and nothing of what came later.

    A table that a later migration has made must be gone, or the migration that follows would not work.
    """
    need("postgres")
    folder = postgres_bin()
    assert folder is not None
    page = (PAGES / "backup.md").read_text()
    dump_options = re.findall(r"pg_dump -U postgres (.*) dagway >", page)[0].split()
    restore_options = re.findall(r"pg_restore -U postgres (.*) --dbname postgres", page)[0].split()
    [afterwards] = re.findall(r'psql -U postgres .* -c "(.*)"', page)
    migrate(database_url)
    engine = open_engine(database_url)

    def spec(name: str) -> None:
        with transaction(engine) as connection:
            connection.execute(insert(t.specs).values(hash=name, yaml="steps: []", created_at=utc_now()))

    spec("before")
    file = tmp_path / "dagway.dump"
    env = {name: os.environ[name] for name in ("PATH",)}
    with file.open("wb") as out:
        subprocess.run([folder / "pg_dump", *dump_options, database_url], stdout=out, env=env, check=True)
    spec("after")
    with transaction(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE of_a_later_version (id int)")
    engine.dispose()
    server = urlunsplit(urlsplit(database_url)._replace(path="/postgres"))
    subprocess.run([folder / "pg_restore", *restore_options, "--dbname", server, str(file)], env=env, check=True)

    with transaction(engine) as connection:
        assert connection.execute(select(t.specs.c.hash)).scalars().all() == ["before"]
        assert not inspect(connection).has_table("of_a_later_version")
        connection.exec_driver_sql(afterwards)
        found = connection.exec_driver_sql("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'")
        assert "specs" in found.scalars().all(), "without statistics, reads are slow"
    engine.dispose()
    assert migrate(database_url)


def test_kubectl_knows_the_commands_for_a_cluster(tmp_path: Path) -> None:
    """Each command is run with an unreachable cluster. It must fail only because of that, not by its options."""
    need("kubectl")
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\nclusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: x, context: {cluster: x, user: x}}]\ncurrent-context: x\nusers: [{name: x, user: {}}]\n"
    )
    pages = [*PAGES.glob("*.md"), *(ROOT / "docs/runbooks").glob("*.md")]
    lines = {line for page in pages for block in blocks(page) for line in block.splitlines() if "kubectl" in line}
    assert len(lines) > 10
    for line in lines:
        # Without the file for the output: the commands run in the project's folder.
        command = line[line.index("kubectl") :].replace("NODE", "node-1").partition(" > ")[0]
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "KUBECONFIG": str(config), "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode, line
        assert re.search("refused|no objects passed", done.stderr), f"{line}\n{done.stderr}"
