"""Settings are all validated, and never silently ignored."""

import runpy
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from services.api.representations.json_values import timestamp
from services.api.settings import Settings, settings_from, warn_if_open
from services.cli import cli
from shared.errors import ConfigInvalid
from shared.settings import readers
from shared.settings.config import OPTIONS, Config, load_config
from shared.settings.option import Option
from shared.settings.user_readers import StepUserRange

ROOT = Path(__file__).parents[2]


def test_the_defaults_need_nothing() -> None:
    config = load_config({}, {})

    assert (config.host, config.port, config.worker_slots, config.metrics_port) == ("127.0.0.1", 8080, 100, 0)


def test_an_option_wins_over_its_variable() -> None:
    config = load_config({"port": "1234"}, {"DAGWAY_PORT": "99", "DAGWAY_HOST": "0.0.0.0"})

    assert (config.port, config.host) == (1234, "0.0.0.0")


_TIMES = [option for option in OPTIONS if option.field.endswith("_s")]


@pytest.mark.parametrize("option", _TIMES, ids=lambda option: option.env)
@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1h", 3600)])
def test_each_time_takes_seconds_and_units(option: Option, text: str, seconds: int) -> None:
    assert getattr(load_config({}, {option.env: text}), option.field) == seconds


@pytest.mark.parametrize("text", ["", "90 seconds", "1m1h", "m", "-1", "1d", "nan", "0.4", "61m", "."])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time from 0\.5 to 3600 s, such as 90, 90s, 15m or 24h"):
        readers.seconds(text)
    assert readers.seconds(" 2.5 ") == 2.5
    with pytest.raises(ValueError, match="not a whole number of seconds"):
        readers.whole_seconds(1, 100)("2.5")


def test_an_unknown_variable_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(
        ConfigInvalid, match=r"DAGWAY_DATABSE_URL is not a setting \(did you mean DAGWAY_DATABASE_URL\?\)"
    ):
        load_config({}, {"DAGWAY_DATABSE_URL": "x"})


def test_all_problems_are_told_at_once() -> None:
    environ = {"DAGWAY_PORT": "eighty", "DAGWAY_LOG_LEVEL": "loud", "DAGWAY_WORKER_LABELS": "gpu"}

    with pytest.raises(ConfigInvalid) as caught:
        load_config({}, environ)

    for name in environ:
        assert name in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "DAGWAY_SERVICE_HOST",
        "DAGWAY_API_SERVICE_PORT",
        "DAGWAY_API_SERVICE_PORT_HTTP",
        "DAGWAY_API_PORT_8080_TCP",
        "DAGWAY_API_PORT_8080_TCP_ADDR",
        "DAGWAY_API_PORT",
    ],
)
def test_kubernetes_service_variables_are_left_alone(name: str) -> None:
    load_config({}, {name: "tcp://10.0.0.1:8080"})


def test_a_service_called_dagway_does_not_set_our_port() -> None:
    assert load_config({}, {"DAGWAY_PORT": "tcp://10.0.0.1:80"}).port == 8080
    assert load_config({}, {"DAGWAY_METRICS_PORT": "tcp://10.0.0.1:80"}).metrics_port == 0


def test_a_secret_can_be_in_a_file_that_a_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("amqp://worker:secret@broker/\n")

    assert load_config({}, {"DAGWAY_AMQP_URL_FILE": str(file)}).amqp_url == "amqp://worker:secret@broker/"
    for environ, said in (
        ({"DAGWAY_AMQP_URL": "amqp://x:secret@broker/"}, "DAGWAY_AMQP_URL_FILE: DAGWAY_AMQP_URL is set too"),
        ({"DAGWAY_AUTH_TOKEN_FILE": "/dev/null/x"}, "TOKEN_FILE: cannot read /dev/null/x: Not a directory"),
        ({"DAGWAY_PORT_FILE": str(file)}, "DAGWAY_PORT_FILE is not a setting"),
        ({"DAGWAY_COMMAND_KEYS": "secret@broker"}, "DAGWAY_COMMAND_KEYS: key 1 is not ID=VALUE"),
    ):
        with pytest.raises(ConfigInvalid, match=said) as refused:
            load_config({}, {"DAGWAY_AMQP_URL_FILE": str(file), **environ})
        assert "secret@broker" not in str(refused.value)
    file.write_text("\n")
    with pytest.raises(ConfigInvalid, match="is empty"):
        load_config({}, {"DAGWAY_AUTH_TOKEN_FILE": str(file)})


def test_a_token_that_no_request_can_carry_is_refused_and_not_shown() -> None:
    for text in ("s3cret\n", "s3cret\nx", "s3cret☃"):
        with pytest.raises(ConfigInvalid, match="^DAGWAY_AUTH_TOKEN: there is a line break or") as refused:
            load_config({}, {"DAGWAY_AUTH_TOKEN": text})
        assert "s3cret" not in str(refused.value)


def test_what_could_be_a_secret_is_marked_as_one() -> None:
    words = ("PASSWORD", "SECRET", "TOKEN", "_KEYS", "AMQP_URL", "DATABASE_URL", "REMOTE_NODES")
    named = {option.env for option in OPTIONS if any(word in option.env for word in words)}

    assert {option.env for option in OPTIONS if option.secret} == named - {
        "DAGWAY_AUTH_TOKEN_TTL",
        "DAGWAY_SECRETS_DIR",
        "DAGWAY_SECRET_FILE_DIRS",
    }


def test_a_forgotten_variable_is_gone_from_the_process() -> None:
    code = (
        "import os; from services.worker.process.hardening import forget; forget({'DAGWAY_AUTH_TOKEN'}); "
        "print(os.environ.get('DAGWAY_AUTH_TOKEN'), open('/proc/self/environ').read().replace(chr(0), ' '))"
    )
    env = {"BEFORE": "kept", "DAGWAY_AUTH_TOKEN": "secret-value", "AFTER": "kept-too"}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("None ")
    assert "secret-value" not in done.stdout
    assert "BEFORE=kept" in done.stdout
    assert "AFTER=kept-too" in done.stdout


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("20000", StepUserRange(20_000, 20_000, 1)),
        ("20000:30000", StepUserRange(20_000, 30_000, 1)),
        ("20000-20999", StepUserRange(20_000, 20_000, 1000)),
        ("nobody", StepUserRange(65_534, 65_534, 1, "/nonexistent")),
    ],
)
def test_users_of_steps_are_one_or_a_range(text: str, users: StepUserRange) -> None:
    assert load_config({}, {"DAGWAY_STEP_USER": text}).step_user == users


@pytest.mark.parametrize("text", ["0", "root", "5:0", "no-such-user", "10-9", "0-5", "1-20000", "5-5", "5:staff", ""])
def test_no_step_is_root_by_mistake(text: str) -> None:
    if not text:
        assert load_config({}, {"DAGWAY_STEP_USER": text}).step_user is None
        return
    with pytest.raises(ConfigInvalid, match="DAGWAY_STEP_USER"):
        load_config({}, {"DAGWAY_STEP_USER": text})


def test_sizes_have_units() -> None:
    assert load_config({}, {"DAGWAY_STEP_MAX_MEMORY": "512M"}).step_max_memory == 512 << 20
    assert load_config({}, {"DAGWAY_DATA_SIZE": "10Gi"}).data_size == 10 << 30
    with pytest.raises(ConfigInvalid, match="512m or 4g"):
        load_config({}, {"DAGWAY_STEP_MAX_MEMORY": "1k"})


def test_labels_are_at_most_100_pairs() -> None:
    config = load_config({}, {"DAGWAY_WORKER_LABELS": "region=eu, gpu=true"})
    assert config.worker_labels == (("gpu", "true"), ("region", "eu"))
    with pytest.raises(ConfigInvalid, match="101 labels are too many"):
        load_config({}, {"DAGWAY_WORKER_LABELS": ",".join(f"l{number}=x" for number in range(101))})


def test_a_missing_setting_is_named_with_both_spellings() -> None:
    with pytest.raises(ConfigInvalid, match=r"DAGWAY_AMQP_URL \(or --amqp-url\) must be set"):
        load_config({}, {}).need("amqp_url")


def test_keys_can_be_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"new={'n' * 32}\nold={'o' * 32}\n")

    config = load_config({}, {"DAGWAY_COMMAND_KEYS_FILE": str(path)})

    assert [key.id for key in config.command_keys] == ["new", "old"]
    assert "nnn" not in repr(config)


def test_every_setting_has_a_reader_and_a_page() -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "config_doc.py"))["document"]()

    assert (ROOT / "docs" / "configuration.md").read_text() == written, "run python scripts/config_doc.py"
    assert len({option.env for option in OPTIONS}) == len(OPTIONS)
    assert {option.field for option in OPTIONS} == {each.name for each in fields(Config)} - {
        "secret_files",
        "from_dagu",
        "origins",
    }


def test_every_documented_option_is_one_of_a_command() -> None:
    context = click.Context(cli)
    commands = [cli.get_command(context, name) for name in cli.list_commands(context)]
    taken = {param.name for command in commands if command is not None for param in command.params}

    assert {option.field for option in OPTIONS} - taken == set()


@pytest.mark.parametrize("name", ["missing", "zero\0byte"])
def test_a_dag_folder_must_exist(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigInvalid, match="DAGWAY_DAGS_DIR: .* is not an existing folder"):
        load_config({}, {"DAGWAY_DAGS_DIR": str(tmp_path / name)})


def test_a_folder_without_a_bundle_is_no_front_end(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"DAGWAY_UI_DIR: .* contains neither bundle.js nor assets/bundle.js"):
        load_config({}, {"DAGWAY_UI_DIR": str(tmp_path)})

    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "bundle.js").touch()
    assert load_config({}, {"DAGWAY_UI_DIR": str(tmp_path)}).ui_dir == tmp_path


def test_times_are_shown_in_the_zone_of_the_schedules() -> None:
    settings = settings_from(load_config({}, {"DAGU_TZ": "Asia/Tokyo"}))

    assert timestamp(datetime(2025, 11, 24, 4, 5, 7, tzinfo=UTC), settings.zone) == "2025-11-24T13:05:07+09:00"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"DAGWAY_AUTH_BASIC_USERNAME": "admin", "DAGWAY_AUTH_BASIC_PASSWORD": ""}, "DAGWAY_AUTH_BASIC_PASSWORD"),
        ({"DAGWAY_AUTH_BASIC_PASSWORD": "secret"}, "DAGWAY_AUTH_BASIC_USERNAME"),
        (
            {"DAGWAY_AUTH_OIDC_ISSUER": "https://login.example.org", "DAGWAY_AUTH_OIDC_CLIENT_ID": "id"},
            "DAGWAY_AUTH_OIDC_CLIENT_SECRET",
        ),
        ({"DAGWAY_AUTH_OIDC_CLIENT_SECRET": "secret"}, "DAGWAY_AUTH_OIDC_ISSUER"),
    ],
)
def test_half_of_what_turns_authentication_on_is_refused(given: dict[str, str], missing: str) -> None:
    """An empty variable, from a missing secret for instance, must not leave the gateway open."""
    with pytest.raises(ConfigInvalid, match=missing):
        settings_from(load_config({}, given))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "dagway.example.org"])
def test_an_address_that_others_can_reach_needs_a_login(host: str) -> None:
    with pytest.raises(ConfigInvalid, match="without a login"):
        settings_from(load_config({"host": host}, {}))

    secret = "s" * 32
    for login in (
        {"DAGWAY_AUTH_MODE": "none"},
        {"DAGU_AUTH_MODE": "none"},
        {"DAGWAY_AUTH_TOKEN": "t"},
        {"DAGWAY_AUTH_BASIC_USERNAME": "u", "DAGWAY_AUTH_BASIC_PASSWORD": "p"},
        {"DAGWAY_AUTH_MODE": "builtin", "DAGWAY_AUTH_TOKEN_SECRET": secret},
    ):
        settings_from(load_config({"host": host}, login))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_this_machine_alone_needs_no_login(host: str) -> None:
    assert settings_from(load_config({"host": host}, {})).auth_required is False


def test_names_and_origins_of_the_gateway_are_normalised_and_checked() -> None:
    given = {
        "DAGWAY_ALLOWED_HOSTS": "Flows.example.org, other",
        "DAGWAY_ALLOWED_ORIGINS": "https://Dash.example:443 http://dash.example:8080,http://x:80",
        "DAGWAY_AUTH_MODE": "none",
    }
    rules = settings_from(load_config({"host": "Box.lan"}, given)).browser

    assert rules.hosts == {"flows.example.org", "other", "box.lan"}
    assert rules.origins == {"https://dash.example", "http://dash.example:8080", "http://x"}
    for name, value in (
        ("DAGWAY_ALLOWED_HOSTS", "flows.example.org:8080"),
        ("DAGWAY_ALLOWED_HOSTS", "*"),
        ("DAGWAY_ALLOWED_ORIGINS", "dash.example"),
        ("DAGWAY_ALLOWED_ORIGINS", "https://dash.example/"),
        ("DAGWAY_ALLOWED_ORIGINS", "*"),
    ):
        with pytest.raises(ConfigInvalid, match=name):
            load_config({}, {name: value})


def test_what_a_provider_was_given_stands_aside_for_a_mode_that_is_named() -> None:
    given = {"DAGWAY_AUTH_OIDC_ISSUER": "https://login.example.org", "DAGWAY_AUTH_MODE": "none"}

    assert settings_from(load_config({}, given)).auth_mode == "none"


@pytest.mark.parametrize(
    ("host", "settings", "warned"),
    [
        ("0.0.0.0", Settings(), True),
        ("::", Settings(), True),
        ("dagway.example.org", Settings(), True),
        ("0.0.0.0", Settings(token="t"), False),
        ("127.0.0.1", Settings(), False),
        ("::1", Settings(), False),
        ("localhost", Settings(), False),
    ],
)
def test_a_gateway_that_is_open_to_the_network_says_so(
    host: str, settings: Settings, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_if_open(settings, host)

    assert [record.message for record in caplog.records] == ["api.open_to_all"] * warned


def test_a_provider_with_all_it_needs_turns_its_mode_on() -> None:
    oidc = {
        "DAGU_AUTH_OIDC_ISSUER": "https://login.example.org",
        "DAGWAY_AUTH_OIDC_CLIENT_ID": "id",
        "DAGWAY_AUTH_OIDC_CLIENT_SECRET": "hidden-value",
    }

    found = load_config({}, {**oidc, "DAGWAY_AUTH_OIDC_WHITELIST": "a@example.org, b@example.org"})

    assert (found.auth_mode, found.oidc_whitelist) == ("oidc", ("a@example.org", "b@example.org"))
    assert "hidden-value" not in repr(found)
    assert load_config({}, {**oidc, "DAGWAY_AUTH_MODE": "none"}).auth_mode == "none"
    with pytest.raises(ConfigInvalid, match="DAGWAY_AUTH_OIDC_CLIENT_URL"):
        settings_from(found)


def test_groups_of_a_provider_have_roles_in_workspaces() -> None:
    def read(text: str) -> tuple[tuple[str, str], ...]:
        return load_config({}, {"DAGWAY_AUTH_OIDC_ROLES": text}).oidc_roles

    assert read("a=b=admin, dev = Operator, dev=acme:manager, dev=acme:viewer") == (
        ("a=b", "admin"),
        ("dev", "operator"),
        ("dev", "acme:viewer"),
    )
    for wrong in (
        "dev=acme:",
        "dev=acme:boss",
        "dev=default:viewer",
        "dev=:viewer",
        "dev=a:b:viewer",
        "=acme:viewer",
        "dev=ad min",
    ):
        with pytest.raises(ConfigInvalid, match="DAGWAY_AUTH_OIDC_ROLES"):
            read(wrong)


def test_a_workers_id_begins_with_its_pool() -> None:
    default = load_config({}, {})
    assert default.worker_id.startswith("default-")
    assert default.worker_labels == ()
    assert load_config({}, {"DAGWAY_WORKER_ID": "w1"}).worker_id == "w1"

    gpu = load_config({}, {"DAGWAY_WORKER_POOL": "gpu", "DAGWAY_WORKER_LABELS": "region=eu"})
    assert gpu.worker_id.startswith("gpu-")
    assert gpu.worker_labels == (("region", "eu"), ("worker-pool", "gpu"))


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"DAGWAY_WORKER_POOL": "gpu-big"}, "DAGWAY_WORKER_POOL: 'gpu-big' is not the name of a worker pool"),
        ({"DAGWAY_WORKER_POOL": "gpu", "DAGWAY_WORKER_ID": "w1"}, "DAGWAY_WORKER_ID must begin with gpu-"),
        ({"DAGWAY_WORKER_LABELS": "worker-pool=gpu"}, "set DAGWAY_WORKER_POOL instead"),
    ],
)
def test_a_worker_cannot_be_in_two_pools(environ: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigInvalid, match=problem):
        load_config({}, environ)


def test_an_option_has_the_unit_of_its_variable_and_none_is_called_as_what_it_is_not() -> None:
    units = ("s", "mib", "days")

    assert [
        each.flag
        for each in OPTIONS
        if (unit := each.env.lower().rpartition("_")[2]) in units and not each.flag.endswith(f"-{unit}")
    ] == []
    flags = {each.env: each.flag for each in OPTIONS}
    assert flags["DAGWAY_WORKER_POOL"] == "--worker-pool", "pools are those of DAGWAY_POOLS"
