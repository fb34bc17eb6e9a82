"""Options are given in the forms that Dagu takes: short ones with ``=``, and flags with ``true`` or ``false``."""

import click
import pytest

from services.cli import cli


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("start -p=A=7 w.yaml", {"params_option": "A=7", "params": ()}),
        ("start -r=one -N=other w.yaml", {"run_id": "one", "name": "other"}),
        ("start -p= w.yaml", {"params_option": "", "params": ()}),
        ("start w.yaml -- -p=A=7", {"params_option": "", "params": ("-p=A=7",)}),
        ("start --params -r=one w.yaml", {"params_option": "-r=one", "run_id": ""}),
        ("start --params -- w.yaml -r=one", {"params_option": "--", "run_id": "one"}),
        ("start -p A=7 w.yaml", {"params_option": "A=7"}),
        ("start -pA=7 w.yaml", {"params_option": "A=7"}),
        ("enqueue -u=slow w.yaml", {"queue": "slow"}),
        ("dequeue -d=w:one slow", {"dag_run": "w:one"}),
        ("exec -E=FOO=bar -- env -E=x", {"env": ("FOO=bar",), "command": ("env", "-E=x")}),
        ("dry -p=A=7 w.yaml", {"params_option": "A=7"}),
        ("start -qr=one w.yaml", {"quiet": True, "run_id": "one"}),
        ("start -qr -p=A w.yaml", {"quiet": True, "run_id": "-p=A", "params_option": ""}),
        ("start -rq=one w.yaml", {"quiet": False, "run_id": "q=one"}),
        ("start --quiet=true w.yaml", {"quiet": True, "dag": "w.yaml"}),
        ("start -q=1 --detach=false w.yaml", {"quiet": True, "detach": False, "dag": "w.yaml"}),
        ("start --run-id --quiet=true w.yaml", {"run_id": "--quiet=true", "quiet": False}),
        ("start w.yaml -- --quiet=true", {"quiet": False, "params": ("--quiet=true",)}),
        ("start w.yaml =", {"dag": "w.yaml", "params": ("=",)}),
        ("cleanup --dry-run=true --yes=F w", {"dry_run": True, "yes": False}),
        ("start-all -s=127.0.0.1 -p=81", {"host": "127.0.0.1", "port": "81"}),
    ],
)
def test_options_are_read_as_dagu_reads_them(line: str, expected: dict[str, object]) -> None:
    name, *arguments = line.split(" ")
    command = cli.get_command(click.Context(cli), name)
    assert command is not None

    found = command.make_context(name, arguments).params

    assert {key: found[key] for key in expected} == expected
