"""What an administrator reads about the settings of a gateway."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from services.api.settings import settings_from
from shared.errors import ConfigInvalid
from shared.settings.config import OPTIONS, Config, SettingOrigin, load_config
from shared.settings.effective import EffectiveSetting, effective_settings

SECRET = "a value that nobody may read"


def of(config: Config, variable: str, command: str = "api") -> EffectiveSetting:
    [found] = [each for each in effective_settings(config, command) if each.variable == variable]
    return found


def test_a_setting_says_its_value_its_default_and_what_set_it() -> None:
    config = load_config({"port": 0}, {"DAGWAY_COMMAND_WAIT_S": "7", "DAGU_TZ": "Asia/Tokyo"})

    port, wait, zone, threads = (
        of(config, name) for name in ("DAGWAY_PORT", "DAGWAY_COMMAND_WAIT_S", "DAGWAY_TZ", "DAGWAY_API_THREADS")
    )

    assert (port.value, port.default, port.source, port.set_by) == ("0", "8080", "option", "--port")
    assert (wait.value, wait.source, wait.set_by) == ("7", "variable", "DAGWAY_COMMAND_WAIT_S")
    assert (zone.value, zone.source, zone.set_by) == ("Asia/Tokyo", "dagu", "DAGU_TZ")
    assert (threads.value, threads.source, threads.set_by) == ("16", "default", "")
    assert [of(load_config({"auth_mode": mode}, {}), "DAGWAY_AUTH_MODE").value for mode in (None, "builtin")] == [
        "none",
        "builtin",
    ]
    assert port.description == "port the gateway listens on; 0: any free port"


def test_the_folder_of_examples_is_set_by_its_option() -> None:
    origins = {"dags_dir": SettingOrigin("--examples", "/data/examples")}

    found = of(replace(load_config({}, {}), origins=origins), "DAGWAY_DAGS_DIR", "up")

    assert (found.value, found.source, found.set_by) == ("/data/examples", "option", "--examples")


def test_a_default_that_depends_on_the_command_is_shown_as_the_value_that_applies(tmp_path: Path) -> None:
    names = ("DAGWAY_COMMAND_WAIT_S", "DAGWAY_DRAIN_S", "DAGWAY_DAGS_WRITE")
    unset, with_folder = load_config({}, {}), load_config({"dags_dir": str(tmp_path)}, {})

    assert [of(with_folder, name, "up").value for name in names] == ["30", "5", "folder"]
    assert of(unset, "DAGWAY_DAGS_WRITE", "up").value == "database"
    assert of(unset, "DAGWAY_COMMAND_WAIT_S", "api").value == "5"
    assert of(unset, "DAGWAY_DRAIN_S", "worker").value == "25"
    assert of(with_folder, "DAGWAY_DAGS_WRITE", "scheduler").value == "database"
    limited = load_config({"data_size": "10Gi"}, {})
    assert [of(limited, "DAGWAY_RUN_FILES_MIB", command).value for command in ("worker", "up")] == ["6144", "0"]
    shared = load_config({"data_size": "10Gi", "data_workers": "2"}, {})
    assert of(shared, "DAGWAY_RUN_FILES_MIB", "worker").value == "3072"
    kept = load_config({"data_size": "10Gi", "run_files_days": "0"}, {})
    assert of(kept, "DAGWAY_RUN_FILES_MIB", "worker").value == "0", "all files are kept"
    shown = of(unset, "DAGWAY_COMMAND_WAIT_S", "up")
    assert (shown.default, shown.source) == ("30 in dagway up, else 5", "default")
    given = load_config({"drain_s": 0, "dags_write": "database", "dags_dir": str(tmp_path)}, {})
    assert [of(given, name, "up").value for name in names[1:]] == ["0", "database"]


def test_no_secret_is_in_what_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    environ = {"DAGWAY_AMQP_URL": f"amqp://u:{SECRET}@h", "DAGWAY_AUTH_TOKEN_FILE": str(tmp_path / "token")}
    config = load_config({"auth_basic_password": SECRET, "auth_basic_username": "ann"}, environ)

    shown = settings_from(config, "up").effective

    assert SECRET not in repr((shown, config.origins))
    assert [(each.variable, each.source) for each in shown if each.secret and each.source != "default"] == [
        ("DAGWAY_AMQP_URL", "variable"),
        ("DAGWAY_AUTH_BASIC_PASSWORD", "option"),
        ("DAGWAY_AUTH_TOKEN", "file"),
    ]


@pytest.mark.parametrize("variable", ["DAGWAY_VAULT_ADDR", "DAGWAY_AUTH_OIDC_ISSUER", "DAGWAY_AUTH_OIDC_CLIENT_URL"])
@pytest.mark.parametrize("url", ["https://ann:hidden@x.example", "ftp://ann:hidden@x.example"])
def test_a_url_that_is_shown_has_no_password(variable: str, url: str) -> None:
    with pytest.raises(ConfigInvalid, match="must have no user or password") as refused:
        load_config({}, {variable: url})

    assert str(refused.value).startswith(variable)
    assert "hidden" not in str(refused.value)


def test_what_the_configuration_keeps_out_of_its_text_is_a_secret() -> None:
    kept_out = {field.name for field in fields(Config) if not field.repr} - {"origins"}

    assert kept_out <= {option.field for option in OPTIONS if option.secret}


@pytest.mark.parametrize("command", ["api", "up"])
def test_every_setting_of_the_command_is_listed_once(command: str) -> None:
    shown = effective_settings(load_config({}, {}), command)

    wanted = [option.env for option in OPTIONS if command in option.services and option.field != "faults"]
    assert [each.variable for each in shown] == wanted
