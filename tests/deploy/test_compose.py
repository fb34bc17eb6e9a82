"""docker-compose.yml: networks, start order, health checks, and that it contains no password."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.api.settings import settings_from
from shared.settings.config import load_config
from tests.deploy.manifests import ROOT
from tests.harness.needs import need

_FILE = ROOT / "docker-compose.yml"
_COMPOSE: dict[str, Any] = yaml.safe_load(_FILE.read_text())
SERVICES: dict[str, Any] = _COMPOSE["services"]
OURS = ("migrate", "api", "scheduler", "worker")
_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?::(?P<mark>[-?])(?P<text>[^}]*))?\}")


def _interpolated(text: str, values: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        given = values.get(match["name"], "")
        return given or (match["text"] or "" if match["mark"] == "-" else "")

    return _VARIABLE.sub(value, text)


@pytest.fixture(scope="module")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("compose") / "env"
    argv = [str(ROOT / "deploy" / "make-secrets"), "compose"]
    path.write_text(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    return str(path)


def test_what_compose_says_about_a_missing_variable_keeps_an_older_env_file(tmp_path: Path) -> None:
    """The first ``.env`` is from before stored secrets. Its passwords are those of the database: it is not replaced."""
    text = (ROOT / "docker-compose.yml").read_text()
    [says] = {match["text"] for match in _VARIABLE.finditer(text) if match["name"] == "SECRET_KEYS"}
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    env = tmp_path / ".env"
    env.write_text("POSTGRES_PASSWORD=kept\n")

    subprocess.run(["sh", "-c", says[says.index("deploy/") :]], cwd=tmp_path, check=True)

    kept, added = env.read_text().splitlines()
    assert kept == "POSTGRES_PASSWORD=kept"
    assert added.startswith("SECRET_KEYS=")


def test_the_compose_file_has_every_service() -> None:
    assert set(SERVICES) == {"postgres", "rabbitmq", "prometheus", "alertmanager", "grafana", *OURS}
    assert SERVICES["scheduler"]["deploy"]["replicas"] == 2
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


def test_only_the_gateway_and_grafana_are_published_and_only_on_loopback() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"api", "grafana"}
    assert [_interpolated(port, {}) for port in SERVICES["grafana"]["ports"]] == ["127.0.0.1:3000:3000"]
    assert [_interpolated(port, {}) for port in SERVICES["api"]["ports"]] == ["127.0.0.1:8080:8080"]
    assert not any("network_mode" in service for service in SERVICES.values())


def test_workers_share_no_network_with_the_database() -> None:
    assert "database" in SERVICES["postgres"]["networks"]
    assert not set(SERVICES["postgres"]["networks"]) & set(SERVICES["worker"]["networks"])
    assert all((_COMPOSE["networks"][name] or {}).get("internal") for name in SERVICES["postgres"]["networks"])


def test_workers_share_no_network_with_the_gateway() -> None:
    """A step must not reach the gateway, also where somebody has switched its login off."""
    reached = set(SERVICES["worker"]["networks"])

    assert {name for name, each in SERVICES.items() if reached & set(each["networks"])} == {
        "worker",
        "rabbitmq",
        "prometheus",
    }


def test_the_gateway_demands_a_login_and_its_secrets_come_from_the_env_file(env_file: str) -> None:
    lines = [line for line in Path(env_file).read_text().splitlines() if "=" in line]
    values = dict(line.split("=", 1) for line in lines)
    environ = {key: _interpolated(value, values) for key, value in SERVICES["api"]["environment"].items()}

    # The image listens on all addresses.
    settings = settings_from(load_config({}, {"DAGWAY_HOST": "0.0.0.0", **environ}))

    assert settings.auth_mode == "builtin"
    assert settings.token_secret == values["AUTH_TOKEN_SECRET"]
    assert settings.admin_password == values["ADMIN_PASSWORD"]


def test_workers_know_no_database() -> None:
    text = yaml.safe_dump(SERVICES["worker"], default_flow_style=False).lower()

    assert not re.search("database|postgres", text)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_is_locked_down_and_bounded(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "devices", "pid", "ipc"} & set(service)
    # The worker starts as root only to give each run a user of its own.
    assert service.get("cap_add", []) == (["SETUID", "SETGID", "KILL"] if name == "worker" else [])
    assert service.get("user") not in {"root", "0"}
    assert (service.get("user") == "0:0") == (name == "worker")
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert not re.search(r":latest$|^[^:]+$", _interpolated(service["image"], {}))


def test_a_run_leaves_processes_to_its_worker_and_to_other_runs() -> None:
    worker = SERVICES["worker"]

    assert (
        0
        < int(worker["environment"]["DAGWAY_STEP_MAX_PROCESSES"])
        <= worker["deploy"]["resources"]["limits"]["pids"] / 2
    )


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_every_server_has_a_health_check_and_comes_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", OURS)
def test_what_a_service_needs_is_ready_before_it(name: str) -> None:
    waits = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}

    everything = {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "rabbitmq": "service_healthy",
    }
    wanted = {
        "migrate": {"postgres": "service_healthy"},
        "worker": {"rabbitmq": "service_healthy"},
        "api": everything,
        "scheduler": everything,
    }
    assert waits == wanted[name]


def test_prometheus_stays_when_what_it_watches_is_replaced() -> None:
    """A restarted Prometheus would count replicas that are gone as live until its samples of them expire."""
    assert "depends_on" not in SERVICES["prometheus"]


def test_no_password_is_written_down_and_none_has_a_default(env_file: str) -> None:
    made = {line.split("=")[0] for line in Path(env_file).read_text().splitlines() if "=" in line}
    asked = {match["name"]: match["mark"] for match in _VARIABLE.finditer(_FILE.read_text())}

    assert {name for name, mark in asked.items() if mark == "?"} == made
    assert all(mark for mark in asked.values()), "a variable that may silently be empty"
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET", key):
                assert re.fullmatch(r"\$\{\w+:\?[^}]*\}", value), (name, key)
            if key.endswith("_URL"):
                assert re.search(r"://(\w+|\$\{\w+:\?[^}]*\}):\$\{\w+:\?[^}]*\}@", value), (name, key)


def test_each_service_has_a_user_of_its_own_on_either_server() -> None:
    users = [
        (key, match[1], match[2])
        for name in OURS
        for key, value in SERVICES[name]["environment"].items()
        if (match := re.search(r"://(\w+|\$\{\w+:\?[^}]*\}):\$\{(\w+)", value))
    ]

    assert len({(key, user) for key, user, _ in users}) == len(users) == 6
    assert len({password for _, _, password in users}) == 6


@pytest.mark.parametrize("name", OURS)
def test_our_processes_accept_their_environment(name: str) -> None:
    environ = {key: _interpolated(value, {}) for key, value in SERVICES[name]["environment"].items()}
    environ["DAGWAY_DAGS_DIR"] = str(ROOT / "examples") if "DAGWAY_DAGS_DIR" in environ else ""

    config = load_config({}, environ)

    assert (config.step_user is not None and config.worker_user is not None) == (name == "worker")
    assert config.metrics_port == (0 if name == "migrate" else 9000)
    assert bool(config.database_url) == (name != "worker")


def test_one_line_in_the_env_file_sets_the_time_zone_of_schedules_times_and_steps() -> None:
    zones = {name: SERVICES[name]["environment"]["DAGWAY_TZ"] for name in ("api", "scheduler", "worker")}

    assert {_interpolated(zone, {"DAGWAY_TZ": "Asia/Tokyo"}) for zone in zones.values()} == {"Asia/Tokyo"}
    assert {_interpolated(zone, {}) for zone in zones.values()} == {""}


def test_a_gateway_may_wait_for_a_write_before_it_is_killed() -> None:
    """For 30 s or more, if ``DAGWAY_COMMAND_WAIT_S`` says so."""
    assert SERVICES["api"]["stop_grace_period"] == "60s"


def test_workers_share_a_volume_and_no_step_users() -> None:
    config = load_config(
        {}, {key: _interpolated(value, {}) for key, value in SERVICES["worker"]["environment"].items()}
    )

    assert config.data_workers >= SERVICES["worker"]["deploy"]["replicas"]
    assert config.step_user is not None
    assert config.step_user.count // config.data_workers >= 1000
    named = re.findall(r"\$\(seq (\d+) (\d+)\)", (ROOT / "Dockerfile").read_text())
    assert named == [(str(config.step_user.uids[0]), str(config.step_user.uids[-1]))]


def test_no_volume_is_anonymous() -> None:
    volumes = [_interpolated(each, {}) for service in SERVICES.values() for each in service.get("volumes", [])]
    sources = {volume.partition(":")[0] for volume in volumes if ":" in volume}

    assert [volume for volume in volumes if ":" not in volume] == []
    assert {source for source in sources if not source.startswith((".", "/"))} == set(_COMPOSE["volumes"])


def test_files_that_are_mounted_exist() -> None:
    paths = [
        _interpolated(volume, {}).split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    ]

    assert [path for path in paths if path.startswith("./") and not (ROOT / path).exists()] == []


def test_prometheus_asks_names_and_ports_that_exist() -> None:
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/leaf.yml").read_text())["scrape_configs"]
    asked = {(name, entry["port"]) for job in jobs for entry in job["dns_sd_configs"] for name in entry["names"]}
    aliases = {
        alias: name
        for name, service in SERVICES.items()
        if isinstance(service["networks"], dict)
        for alias in service["networks"]["worker-metrics" if name == "worker" else "metrics"]["aliases"]
    }

    assert aliases == {f"dagway-{name}-metrics": name for name in ("api", "scheduler", "worker")}
    assert asked == {("rabbitmq", 15692), *((alias, 9000) for alias in aliases)}
    assert not list((ROOT / "deploy/prometheus").glob("*.scrape.yml"))
    for name in ("api", "scheduler", "rabbitmq", "prometheus", "alertmanager", "grafana"):
        assert "metrics" in SERVICES[name]["networks"]
    assert "worker-metrics" in SERVICES["prometheus"]["networks"]


def test_the_broker_knows_the_memory_limit_of_its_container() -> None:
    """Else it counts the memory of the machine, and is killed before it has a memory alarm, which holds senders."""
    conf = (ROOT / "deploy/servers/rabbitmq.conf").read_text()
    dev = yaml.safe_load_all((ROOT / "deploy/k8s/overlays/dev/rabbitmq.yaml").read_text())
    (pod,) = (each["spec"]["template"]["spec"] for each in dev if each["kind"] == "StatefulSet")

    assert re.findall(r"^total_memory_available_override_value = (.*)$", conf, re.MULTILINE) == ["1GiB"]
    assert SERVICES["rabbitmq"]["deploy"]["resources"]["limits"]["memory"] == "1g"
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "1Gi"


@pytest.mark.parametrize("names", [set(), {"on-call"}, {"on-call", "watchdog"}])
def test_alertmanager_calls_those_that_have_a_url_and_nobody_else(names: set[str], tmp_path: Path) -> None:
    [*shell, script] = SERVICES["alertmanager"]["entrypoint"]
    moved = {"/receivers/": f"{tmp_path}/", "/etc/alertmanager/": f"{ROOT}/deploy/alertmanager/"}
    for text, here in {"$$": "$", **moved, "exec /bin/alertmanager": "true"}.items():
        script = script.replace(text, here)
    variables = {"on-call": "ON_CALL", "watchdog": "WATCHDOG"}
    urls = {variables[name]: "http://receiver/" if name in names else "" for name in variables}

    subprocess.run([*shell, script], env={**os.environ, **urls}, check=True)

    found = yaml.safe_load((tmp_path / "alertmanager.yml").read_text())["receivers"]
    assert {each["name"] for each in found} == {"on-call", "watchdog"}
    assert {each["name"] for each in found if each["webhook_configs"]} == names
    need("alertmanager")
    subprocess.run(["amtool", "check-config", tmp_path / "alertmanager.yml"], check=True, capture_output=True)


def test_every_service_that_sends_spans_reaches_the_collector_of_the_page() -> None:
    page = (ROOT / "docs/operations/traces.md").read_text()
    (sentence,) = re.findall(r"A collector in the same compose project joins ([^.:]*)", page)
    joined = set(re.findall(r"`([\w-]+)`", sentence))
    senders = {name for name in OURS if "OTEL_EXPORTER_OTLP_ENDPOINT" in SERVICES[name]["environment"]}

    assert joined <= set(_COMPOSE["networks"])
    assert {name for name in senders if joined & set(SERVICES[name]["networks"])} == {"api", "scheduler", "worker"}


def test_compose_itself_accepts_the_file(env_file: str) -> None:
    """Needs docker compose; the other tests do not."""
    for program in (["docker-compose"], ["docker", "compose"]):
        if (
            shutil.which(program[0])
            and not subprocess.run([*program, "version"], capture_output=True, check=False).returncode
        ):
            argv = [*program, "--file", str(_FILE), "--env-file", env_file, "config", "--quiet"]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
