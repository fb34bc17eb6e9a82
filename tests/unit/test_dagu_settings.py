"""What a user of Dagu has set already is read, and named where it has no meaning."""

import json
from pathlib import Path

import pytest

from services.api.settings import settings_from
from shared.errors import ConfigInvalid
from shared.settings.config import load_config

FILE = """\
host: 127.0.0.2
port: 9000
logFormat: text
debug: true
paths: {dagsDir: "%s", logDir: /logs}
ui: {navbarTitle: Ours, maxDashboardPageLimit: 5}
permissions: {writeDAGs: false}
auth:
  builtin: {token: {secret: "a secret of thirty-two characters", ttl: 2h}}
queues:
  enabled: true
  config: [{name: heavy, maxActiveRuns: 2}, {name: light, maxConcurrency: 9}]
remoteNodes: [{name: other, apiBaseUrl: "http://other/api/v2", isAuthToken: true, authToken: x}]
"""


def home(tmp_path: Path, text: str = "") -> dict[str, str]:
    (tmp_path / "dags").mkdir()
    (tmp_path / "base.yaml").write_text("{}")
    if text:
        (tmp_path / "config.yaml").write_text(text)
    return {"DAGU_HOME": str(tmp_path)}


def test_paths_in_the_file_may_have_variables(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = "{dagsDir: '${DAGU_HOME}/other', baseConfig: $DAGU_HOME/base.yaml, suspendFlagsDir: '${FLAGS}'}"
    environ = home(tmp_path, f"paths: {paths}\nauth: {{basic: {{username: ann, password: a$FLAGS}}}}\n")

    config = load_config({}, environ | {"FLAGS": str(tmp_path / "flags")})

    assert (config.dags_dir, config.base_config) == (tmp_path / "other", tmp_path / "base.yaml")
    assert config.suspend_dir == tmp_path / "flags"
    assert config.auth_basic_password == "a$FLAGS", "Dagu reads only paths like this"
    with pytest.raises(ConfigInvalid, match="FLAGS}/x' is not an existing folder"):
        (tmp_path / "config.yaml").write_text("paths: {dagsDir: '${FLAGS}/x'}")
        load_config({}, environ)


@pytest.mark.parametrize(
    ("mode", "login"), [("basic", "basic: {username: ann, password: secret}"), ("token", "token: {value: secret}")]
)
def test_a_mode_that_names_a_login_needs_its_credentials(tmp_path: Path, mode: str, login: str) -> None:
    environ = home(tmp_path, f"auth: {{mode: {mode}, {login}}}")

    config = load_config({}, environ)

    assert (config.auth_mode, config.auth_basic_password or config.auth_token) == ("", "secret")
    assert "auth.mode has no meaning here: a login is needed if its credentials are set" in config.from_dagu[0]
    with pytest.raises(ConfigInvalid, match=f"auth.mode: '{mode}' is not one of"):
        (tmp_path / "config.yaml").write_text(f"auth: {{mode: {mode}, basic: {{username: ann}}}}")
        load_config({}, environ)


def test_a_mode_whose_credentials_an_empty_variable_of_ours_hides_lets_nobody_in(tmp_path: Path) -> None:
    environ = home(tmp_path, "auth: {mode: token, token: {value: secret}}")
    environ |= {"DAGWAY_AUTH_TOKEN": "", "DAGWAY_HOST": "0.0.0.0"}

    with pytest.raises(ConfigInvalid, match="would listen on 0.0.0.0 without a login"):
        settings_from(load_config({}, environ))


def test_variables_win_over_the_file_and_ours_over_theirs(tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    environ = home(tmp_path, FILE % other)
    environ |= {"DAGU_PORT": "9001", "DAGU_HOST": "127.0.0.3", "DAGWAY_HOST": "127.0.0.4", "DAGU_DATA_DIR": "/data"}
    environ |= {"DAGU_UI_NAVBAR_COLOR": "red", "DAGU_WHATEVER": "1", "DAGU_TZ": ""}

    config = load_config({}, environ)

    assert (config.host, config.port, config.dags_dir, config.navbar_color) == ("127.0.0.4", 9001, other, "red")
    assert (config.base_config, config.suspend_dir) == (tmp_path / "base.yaml", tmp_path / "suspend")
    assert (config.navbar_title, config.write_dags, config.log_format) == ("Ours", False, "text")
    assert (config.auth_token_secret, config.auth_token_ttl_s) == ("a secret of thirty-two characters", 7200)
    assert config.queues == (("heavy", 2), ("light", 9))
    assert '"apiBaseURL": "http://other/api/v2"' in config.remote_nodes
    lines = set(config.from_dagu)
    assert lines >= {
        "DAGU_PORT is read as DAGWAY_PORT",
        "DAGU_HOST is not used: DAGWAY_HOST is set",
        "config.yaml: paths.dagsDir is read as DAGWAY_DAGS_DIR",
        "DAGU_HOME is read as DAGWAY_SUSPEND_FLAGS_DIR",
        "DAGU_DATA_DIR has no meaning here: state is in DAGWAY_DATA_DIR, and its files are not Dagu's",
        "DAGU_WHATEVER has no meaning here",
        "config.yaml: debug has no meaning here: set DAGWAY_LOG_LEVEL=debug",
        "config.yaml: paths.logDir has no meaning here: logs of steps are in the database",
        "config.yaml: ui.maxDashboardPageLimit has no meaning here",
    }
    assert not any("secret of thirty" in line for line in lines), "the log names settings, never their values"


@pytest.mark.parametrize("variables", [{}, {"DAGU_SERVER_METRICS": "public"}])
def test_metrics_that_everyone_may_read_stay_so(tmp_path: Path, variables: dict[str, str]) -> None:
    text = "" if variables else "metrics: public\n"

    assert load_config({}, home(tmp_path, text) | variables).metrics == "public"


def test_the_names_of_earlier_versions_are_read(tmp_path: Path) -> None:
    text = f"""\
dags: {tmp_path / "dags"}
navbarTitle: Ours
isBasicAuth: true
basicAuthUsername: ann
basicAuthPassword: from the file
"""
    environ = home(tmp_path, text) | {"DAGU_BASICAUTH_PASSWORD": "old", "DAGU_AUTHTOKEN": "old"}

    config = load_config({}, environ | {"DAGU_AUTH_TOKEN": "new"})

    assert (config.dags_dir, config.navbar_title) == (tmp_path / "dags", "Ours")
    assert (config.auth_basic_username, config.auth_basic_password, config.auth_token) == ("ann", "old", "new")
    assert (
        "config.yaml: isBasicAuth has no meaning here: "
        "a login is needed if a username and a password are set, as in Dagu"
    ) in config.from_dagu
    assert load_config({}, {"DAGU_DAGS": str(tmp_path / "dags")}).dags_dir == tmp_path / "dags"


def test_what_earlier_versions_forbade_stays_forbidden(tmp_path: Path) -> None:
    config = load_config({}, home(tmp_path, "permissionWriteDAGs: false\npermissionRunDAGs: false\n"))

    assert (config.write_dags, config.run_dags) == (False, False)


def test_the_keys_of_dagu_2_are_read(tmp_path: Path) -> None:
    text = """\
log_format: json
base_path: /flows
paths: {suspend_flags_dir: /flags}
ui: {navbar_title: Ours}
permissions: {write_dags: false}
auth: {builtin: {initial_admin: {username: root}}}
queues: {config: [{name: heavy, max_concurrency: 2}]}
remote_nodes: [{name: other, api_base_url: "http://other/api/v1", auth_type: token, auth_token: x}]
"""

    config = load_config({}, home(tmp_path, text))

    assert (config.log_format, config.base_path, config.suspend_dir) == ("json", "/flows", Path("/flags"))
    assert (config.navbar_title, config.write_dags, config.auth_admin_username) == ("Ours", False, "root")
    assert config.queues == (("heavy", 2),)
    assert json.loads(config.remote_nodes) == [
        {"name": "other", "apiBaseURL": "http://other/api/v1", "isAuthToken": True, "authToken": "x"}
    ]


def test_a_home_alone_gives_its_folders(tmp_path: Path) -> None:
    config = load_config({}, home(tmp_path))

    assert (config.dags_dir, config.port) == (tmp_path / "dags", 8080)
    assert config.suspend_dir == tmp_path / "suspend"


def test_a_home_in_two_folders_has_its_flags_in_the_second(tmp_path: Path) -> None:
    first, second = tmp_path / ".config/dagu", tmp_path / ".local/share/dagu"
    first.mkdir(parents=True)
    second.mkdir(parents=True)

    environ = home(first)

    assert load_config({}, environ).suspend_dir == second / "suspend"
    (first / "data").mkdir()
    assert load_config({}, environ).suspend_dir == first / "suspend", "Dagu ran with this DAGU_HOME"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host: [", "invalid YAML"),
        ("- 1", "must be a map of settings"),
        ("port: many", "config.yaml: port: "),
        ("remote_nodes: [staging]", "config.yaml: remote_nodes: must be a list of maps"),
        ("remoteNodes: staging", "config.yaml: remoteNodes: must be a list of maps"),
        ("queues: {config: [heavy]}", "config.yaml: queues.config: must be a list of maps"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        load_config({}, home(tmp_path, text))


def test_without_their_variables_nothing_is_read() -> None:
    assert load_config({}, {}).from_dagu == ()
    assert load_config({}, {"DAGU_PORT": "tcp://10.0.0.1:8080"}).port == 8080, "a Service of Kubernetes"


def test_more_mistakes_than_are_reported_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match='duplicate key "port"'):
        load_config({}, home(tmp_path, "port: 1\n" * 300))
