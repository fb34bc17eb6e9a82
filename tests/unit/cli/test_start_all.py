"""``dagway start-all`` takes Dagu's short options."""

from typing import Any

import pytest
from click.testing import CliRunner

from services.cli import cli
from services.cli.services import up_command


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ``dagway up`` would have been called with."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(up_command, "callback", lambda **options: found.append(options))
    return found


def test_the_short_names_are_the_same_options(given: list[dict[str, Any]]) -> None:
    for line in ("-q -s 127.0.0.1 -d flows -p 81", "--quiet --host 127.0.0.1 --dags flows --port 81"):
        assert CliRunner().invoke(cli, ["start-all", *line.split()]).exit_code == 0

    assert given[0] == given[1]
    assert (given[0]["host"], given[0]["dags_dir"], given[0]["port"]) == ("127.0.0.1", "flows", "81")


@pytest.mark.parametrize(
    ("line", "level"), [("", None), ("-q", "error"), ("-q --log-level debug", "debug")], ids=["loud", "quiet", "both"]
)
def test_quiet_logs_errors_only_unless_a_level_is_given(
    given: list[dict[str, Any]], line: str, level: str | None
) -> None:
    assert CliRunner().invoke(cli, ["start-all", *line.split()]).exit_code == 0

    assert [options["log_level"] for options in given] == [level]
