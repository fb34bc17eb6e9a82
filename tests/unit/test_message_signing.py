"""Which keys a process needs, and which it must not have."""

import logging

import pytest

from services.processes.signing import message_signing
from shared.clock import utc_now
from shared.errors import ConfigInvalid
from shared.settings.config import load_config
from shared.transport.open import open_transport
from shared.transport.signed import SignedTransport
from tests.harness.signing import POOL_KEYS, signing_settings

AWAY = {"DAGWAY_AMQP_URL": "amqp://127.0.0.1:1/"}
SERVICES = ("api", "scheduler", "worker")


def signs(environ: dict[str, str], *services: str) -> bool:
    """Return whether a process with these settings signs messages."""
    transport = open_transport("embedded:", name="test")
    try:
        return isinstance(message_signing(load_config({}, environ), *services)(transport, utc_now), SignedTransport)
    finally:
        transport.close()


@pytest.mark.parametrize(
    ("service", "setting"), [(service, setting) for service in SERVICES for setting in signing_settings(service)]
)
def test_every_key_of_a_service_is_needed(service: str, setting: str) -> None:
    settings = AWAY | signing_settings(service)
    assert signs(settings, service)

    with pytest.raises(ConfigInvalid, match=f"{setting} .*DAGWAY_MESSAGE_SIGNING=off"):
        signs(settings | {setting: ""}, service)


@pytest.mark.parametrize("service", SERVICES)
def test_signing_is_turned_off_by_saying_so_and_with_a_warning(service: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not signs(AWAY | {"DAGWAY_MESSAGE_SIGNING": "off"}, service)

    assert [record.message for record in caplog.records] == ["signing.off"]


def test_one_process_needs_no_keys_until_it_uses_a_broker() -> None:
    assert not signs({}, *SERVICES)
    assert not signs({"DAGWAY_AMQP_URL": "embedded:"}, *SERVICES)
    with pytest.raises(ConfigInvalid):
        signs(AWAY, *SERVICES)
    assert signs(AWAY | signing_settings("worker") | signing_settings("scheduler"), *SERVICES)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"DAGWAY_TASK_KEYS": f"1={'0' * 64}"}, "DAGWAY_TASK_KEYS is set: remove them"),
        ({"DAGWAY_COMMAND_KEYS": f"1={'0' * 64}"}, "DAGWAY_COMMAND_KEYS or"),
        ({"DAGWAY_REPORT_KEYS": ",".join(POOL_KEYS.values())}, "keys of other pools: gpu"),
        ({"DAGWAY_WORKER_POOL": "gpu", "DAGWAY_WORKER_ID": "gpu-1"}, "has no key of the worker pool 'gpu'"),
        ({"DAGWAY_WORKER_POOL": "gpu", "DAGWAY_REPORT_KEYS": POOL_KEYS["gpu"]}, "must begin with gpu-"),
    ],
)
def test_a_worker_has_the_keys_of_its_own_pool_only(environ: dict[str, str], said: str) -> None:
    settings = AWAY | signing_settings("worker") | {"DAGWAY_WORKER_ID": "w1"} | environ

    with pytest.raises(ConfigInvalid, match=said):
        signs(settings, "worker")
