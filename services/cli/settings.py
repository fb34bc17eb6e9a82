"""The options of settings, and the configuration of the process that runs a command."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from shared.settings.config import OPTIONS, Config, enter_time_zone, environment, load_config, secret_variables

__all__ = ["configure", "options_of", "service_options"]

_log = logging.getLogger(__name__)


def service_options(service: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of all settings of a service to its command. All are optional."""
    return options_of(*(option.field for option in OPTIONS if service in option.services))


def options_of(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of these ``Config`` fields to a command. All options are optional."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed([option for option in OPTIONS if option.field in names]):
            hidden = option.field == "faults"
            text = f"{option.help}  [{option.env}]"
            function = click.option(option.flag, option.field, default=None, help=text, hidden=hidden)(function)
        return function

    return decorate


def configure(service: str, given: dict[str, Any]) -> Config:
    """Return the configuration, and set up the process: its time zone, logging, and secrets hidden from its children.

    Call it before the imports of a service: those take a second, and who mistyped a setting need not wait for them.
    """
    from services.worker.process.hardening import harden  # noqa: PLC0415
    from shared.faults import arm  # noqa: PLC0415
    from shared.log import set_up_logging  # noqa: PLC0415

    config = load_config(given, environment(), terminal=sys.stderr.isatty())
    harden(secret_variables())
    enter_time_zone(config)
    set_up_logging(config.log_level, config.log_format, service)
    for line in config.from_dagu:
        _log.info("config.from_dagu", extra={"setting": line})
    arm(config.faults)
    return config
