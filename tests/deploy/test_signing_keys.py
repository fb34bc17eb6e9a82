"""The keys that deploy/make-secrets makes and replaces: services accept them, and every step overlaps with the next."""

import itertools
import subprocess
from typing import Any

import pytest
import yaml

from services.processes.signing import message_signing
from shared.clock import utc_now
from shared.contracts.codec import encode
from shared.contracts.control import StopAttempt
from shared.settings.config import Config, load_config
from shared.transport.base import COMMANDS, EVENTS, BrokerQueue, Outgoing, task_queue
from shared.transport.open import open_transport
from shared.transport.signed import SignedTransport
from tests.deploy.manifests import ROOT
from tests.deploy.test_compose import SERVICES

_BODY = encode(StopAttempt(token="t"), id="one", at=utc_now())
_WAYS: tuple[tuple[str, str, BrokerQueue], ...] = (
    ("api", "scheduler", COMMANDS),
    ("scheduler", "worker", task_queue({})),
    ("worker", "scheduler", EVENTS),
)
"""Who sends to whom, and on which broker queue."""


def _made(what: str, old: str = "") -> str:
    argv = [str(ROOT / "deploy" / "make-secrets"), what]
    return subprocess.run(argv, input=old, capture_output=True, text=True, check=True).stdout


def _of_compose(env_file: str, service: str) -> Config:
    values = dict(line.split("=", 1) for line in env_file.splitlines() if "=" in line and not line.startswith("#"))
    keys = {
        name: values[text.removeprefix("${").partition(":")[0]]
        for name, text in SERVICES[service]["environment"].items()
        if name.endswith("_KEYS")
    }
    return load_config({}, {"DAGWAY_AMQP_URL": "amqp://unused/", **keys})


def _of_kubernetes(secrets: list[dict[str, Any]], service: str) -> Config:
    (values,) = (each["stringData"] for each in secrets if each["metadata"]["name"] == f"dagway-{service}")
    keys = {f"DAGWAY_{name.upper().replace('-', '_')}": value for name, value in values.items() if "-keys" in name}
    return load_config({}, {"DAGWAY_AMQP_URL": "amqp://unused/", **keys})


def _understand(senders: dict[str, Config], receivers: dict[str, Config]) -> None:
    """Check that each receiver accepts what its sender signs. Raises ``SignatureRefused``."""
    broker = open_transport("embedded:", name="test")
    broker.declare([queue for _, _, queue in _WAYS])
    for sender, receiver, queue in _WAYS:
        sending, receiving = (
            message_signing(configs[service], service)(broker, utc_now)
            for configs, service in ((senders, sender), (receivers, receiver))
        )
        assert isinstance(sending, SignedTransport)
        sending.send(Outgoing(queue, _BODY, "one")).result(60)
        (delivery,) = receiving.consume([queue], prefetch=1).take(1, 60)
        assert delivery.body != _BODY
        delivery.ack()
    broker.close()


def test_each_step_of_a_rotation_understands_the_one_before() -> None:
    files = [_made("compose")]
    for step in ("add-keys", "use-keys", "drop-keys"):
        files.append(_made(step, files[-1]))
    stages = [{service: _of_compose(file, service) for service in ("api", "scheduler", "worker")} for file in files]

    for before, after in itertools.pairwise(stages):
        _understand(before, before)
        _understand(before, after)
        _understand(after, before)
    _understand(stages[-1], stages[-1])
    first, last = (stage["scheduler"].command_keys for stage in (stages[0], stages[-1]))
    assert len(first) == len(last) == 1
    assert first[0].id != last[0].id
    unchanged = [[line for line in file.splitlines() if "_KEYS=" not in line] for file in files]
    assert all(lines == unchanged[0] for lines in unchanged)


@pytest.mark.parametrize("variable", ["WORKER_SEAL_KEYS", "SECRET_KEYS"])
def test_keys_that_sealed_values_need_are_never_dropped(variable: str) -> None:
    old = f"{variable}=a=x\n"
    added = _made("add-keys", old)
    used = _made("use-keys", added)

    (new,) = added.strip().partition("a=x,")[2:]
    assert used == f"{variable}={new},a=x\n"
    assert _made("drop-keys", used) == used


def test_every_pool_gets_a_new_key() -> None:
    old = "REPORT_KEYS=default/a=x,gpu/a=y\n"

    added = _made("add-keys", old)
    used = _made("use-keys", added)
    dropped = _made("drop-keys", used)

    def ids(text: str) -> list[str]:
        return [key.partition("=")[0] for key in text.strip().partition("=")[2].split(",")]

    new = ids(added)[-1].partition("/")[2]
    assert ids(added) == ["default/a", "gpu/a", f"default/{new}", f"gpu/{new}"]
    assert ids(used) == [f"default/{new}", f"gpu/{new}", "default/a", "gpu/a"]
    assert ids(dropped) == [f"default/{new}", f"gpu/{new}"]


def test_the_secrets_of_kubernetes_fit_together() -> None:
    secrets = list(yaml.safe_load_all(_made("kubernetes")))
    configs = {service: _of_kubernetes(secrets, service) for service in ("api", "scheduler", "worker")}

    _understand(configs, configs)


@pytest.mark.parametrize("service", ["api", "scheduler", "worker"])
def test_each_service_gets_only_its_own_keys(service: str) -> None:
    config = _of_compose(_made("compose"), service)

    names = ("command_keys", "task_keys", "task_public_keys", "report_keys", "worker_seal_keys", "secret_keys")
    held = {name for name in names if getattr(config, name)}

    assert (
        held
        == {
            "api": {"command_keys", "secret_keys"},
            "scheduler": {"command_keys", "task_keys", "report_keys"},
            "worker": {"task_public_keys", "report_keys", "worker_seal_keys", "secret_keys"},
        }[service]
    )
