"""What ``dagway secrets`` says when no scheduler has answered yet."""

import pytest
from click.testing import CliRunner

from services.cli import cli
from services.cli.remote.gateway import Gateway


@pytest.mark.parametrize("argv", [["set", "db"], ["set", "db", "--json"], ["delete", "db"], ["rotate"]], ids=" ".join)
def test_what_is_accepted_and_not_done_yet_is_not_said_to_be_done(
    argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in ("put", "post", "delete"):
        monkeypatch.setattr(Gateway, method, lambda *_: {"commandId": "c1"})

    result = CliRunner().invoke(cli, ["secrets", *argv], input="value")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "the server will do it, and has not done it yet" in result.stderr
