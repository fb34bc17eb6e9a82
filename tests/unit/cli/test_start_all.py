"""``dagway start-all`` takes Dagu's short options."""

import pytest
from click.testing import CliRunner

from services.cli import cli


@pytest.mark.parametrize("option", ["-p", "--port"])
def test_a_short_name_is_the_same_option(option: str) -> None:
    result = CliRunner().invoke(cli, ["start-all", "-q", "-s", "127.0.0.1", "-d", ".", option, "many"])

    assert result.exit_code == 2
    assert "--port" in result.stderr
    assert "many" in result.stderr
