"""Which gateway a command uses, and with which credentials."""

import stat
from pathlib import Path

import pytest
import urllib3
from click.testing import CliRunner

from services.cli import cli
from services.cli.errors import GatewayError
from services.cli.profiles import Profile, Profiles, read_profiles, write_profiles
from services.cli.remote.connecting import connection_of
from services.cli.remote.gateway import Gateway, ServerConnection
from shared.errors import ConfigInvalid
from shared.settings.config import load_config

PROFILES = {
    "production": Profile("https://prod.example", token="secret-p"),
    "staging": Profile("https://staging.example", username="ann", password="pw"),
    "open": Profile("http://open.example"),
}
BASIC = "Basic YW5uOnB3"


@pytest.mark.parametrize(
    ("given", "environ", "in_use", "expected"),
    [
        ({}, {}, "", ServerConnection("http://127.0.0.1:8080")),
        (
            {},
            {},
            "production",
            ServerConnection("https://prod.example", "Bearer secret-p", source="profile production"),
        ),
        ({}, {"DAGWAY_URL": "http://u"}, "production", ServerConnection("http://u", source="DAGWAY_URL")),
        (
            {"profile": "staging"},
            {"DAGWAY_URL": "http://u"},
            "production",
            ServerConnection("https://staging.example", BASIC, source="profile staging"),
        ),
        (
            {},
            {"DAGWAY_PROFILE": "staging", "DAGWAY_AUTH_TOKEN": "other"},
            "production",
            ServerConnection("https://staging.example", BASIC, source="profile staging"),
        ),
        (
            {"auth_token": "given"},
            {},
            "production",
            ServerConnection("https://prod.example", "Bearer given", source="profile production"),
        ),
        (
            {"url": "o:1"},
            {"DAGWAY_AUTH_TOKEN": "env", "DAGWAY_PROFILE": "staging"},
            "production",
            ServerConnection("http://o:1", "Bearer env", source="--url"),
        ),
        (
            {},
            {"DAGWAY_AUTH_TOKEN": "env"},
            "open",
            ServerConnection("http://open.example", "Bearer env", "", "profile open"),
        ),
    ],
)
def test_a_profiles_credentials_go_to_its_own_url_only(
    given: dict[str, str], environ: dict[str, str], in_use: str, expected: ServerConnection
) -> None:
    assert connection_of(load_config(given, environ), given, PROFILES, in_use) == expected


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigInvalid, match="no profile 'prod' .profiles: open, production, staging."):
        connection_of(load_config({}, {}), {"profile": "prod"}, PROFILES, "")


def test_profiles_are_read_as_written_and_only_by_their_owner(tmp_path: Path) -> None:
    path = tmp_path / "dagway" / "config.yaml"
    written = Profiles("staging", {**PROFILES, 'odd "name": #': Profile("http://x", token="a: b # c\\")})

    write_profiles(path, written)

    assert read_profiles(path) == written
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_profiles(tmp_path / "missing") == Profiles()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("profiles: [a]", "profiles: must be a map"),
        ("profiles: {a: {url: ftp://x}}", "profiles.a.url: 'ftp://x' is not a URL"),
        ("profiles: {a: {token: x}}", "profiles.a.url: must be set"),
        ("profiles: {a: {url: x, tokn: y}}", "profiles.a: unknown field 'tokn' .did you mean \"token\"?"),
        ("profiles: {a: {url: 'http://u:p@x'}}", "must have no user or password"),
        ('profiles: {a: {url: x, token: "b\\n"}}', "profiles.a.token: there is a line break"),
        ("use: b", "use: there is no profile 'b'"),
        ("{", "line 2, column 1: invalid YAML"),
    ],
)
def test_a_mistake_in_the_file_is_said_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)

    with pytest.raises(ConfigInvalid, match=problem):
        read_profiles(path)


def test_the_commands_for_profiles(tmp_path: Path) -> None:
    runner = CliRunner(env={"XDG_CONFIG_HOME": str(tmp_path)})

    def said(*args: str, stdin: str | None = None) -> str:
        return runner.invoke(cli, ["config", *args], input=stdin).output

    assert said("set", "a", "--url", "host:1/api/v2", "--token-file", "-", stdin="key\n") == (
        "profile a: http://host:1, credentials: token\n"
    )
    assert said("set", "b", "--url", "https://b") == "profile b: https://b, credentials: none\n"
    assert said("show") == "http://host:1  (from: profile a; credentials: Bearer)\n"
    assert said("use", "b") == "using b: https://b\n"
    assert said("set", "a", "--url", "other") == (
        "dagway: the credentials were those of the former URL: give them again\n"
        "profile a: http://other, credentials: none\n"
    )
    assert said("list").splitlines() == [
        "PROFILE  URL           CREDENTIALS",
        "a        http://other  none",
        "b *      https://b     none",
    ]
    assert said("remove", "b") == "profile b removed\n"
    assert "there is no profile 'b'" in said("use", "b")
    assert "a new profile needs --url" in said("set", "c")
    assert "there is a line break" in said("set", "a", "--token-file", "-", stdin="two\nlines\n")
    assert said("list").splitlines()[1:] == ["a        http://other  none"]


@pytest.mark.parametrize("command", [["drain", "w1"], ["resume", "w1"]], ids=" ".join)
def test_a_change_of_the_whole_server_names_no_workspace(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """The gateway refuses it with one, and a profile or a variable may name one for all commands."""
    named: list[str] = []
    monkeypatch.setattr(Gateway, "post", lambda gateway, *_: named.append(gateway.connection.workspace))

    ran = CliRunner().invoke(cli, ["workers", *command], env={"DAGWAY_WORKSPACE": "acme"})

    assert (ran.exit_code, named) == (0, [""]), ran.output


@pytest.mark.parametrize(("scheme", "basic"), [("Basic", True), ("Bearer", False)])
def test_the_basic_user_is_named_only_to_those_whose_gateway_has_one(
    monkeypatch: pytest.MonkeyPatch, scheme: str, basic: bool
) -> None:
    answer = urllib3.HTTPResponse(body=b"{}", status=401, headers={"WWW-Authenticate": f'{scheme} realm="restricted"'})
    monkeypatch.setattr(Gateway, "_answer", lambda *_: answer)

    with pytest.raises(GatewayError) as refused:
        Gateway(ServerConnection("http://gateway")).get("/dags")

    assert ("set DAGWAY_AUTH_BASIC_USERNAME" in str(refused.value)) == basic
    assert "give a token by --token" in str(refused.value)
