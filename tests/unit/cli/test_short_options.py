"""An option by its short name takes its value with ``=``, as in Dagu's own help pages."""

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
        ("start-all -s=127.0.0.1 -p=81", {"host": "127.0.0.1", "port": "81"}),
    ],
)
def test_the_value_of_a_short_option_may_follow_an_equals_sign(line: str, expected: dict[str, object]) -> None:
    name, *arguments = line.split()
    command = cli.get_command(click.Context(cli), name)
    assert command is not None

    found = command.make_context(name, arguments).params

    assert {key: found[key] for key in expected} == expected
