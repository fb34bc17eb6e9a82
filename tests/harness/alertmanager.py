"""A real Alertmanager for tests, with the shipped configuration."""

import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.harness.eventually import answers_200, eventually
from tests.harness.procs import clean_environment
from tests.harness.reaper import spawn
from tests.harness.servers.base import START_TIMEOUT_S, Server

__all__ = ["Alertmanager", "alertmanager_bin"]

_SHIPPED = Path(__file__).parents[2] / "deploy/alertmanager/alertmanager.yml"


def alertmanager_bin() -> str | None:
    """Return the path of the program, or ``None`` if it is not installed. Debian gives it a longer name."""
    return shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


class Alertmanager(Server):
    """One Alertmanager. ``urls`` has the URL of each receiver's webhook; ``faster`` divides all times."""

    def __init__(self, urls: Mapping[str, str], *, faster: int = 1) -> None:
        super().__init__("alertmanager")
        config = yaml.safe_load(_faster(_SHIPPED.read_text(), faster))
        for receiver in config["receivers"]:
            for webhook in receiver["webhook_configs"]:
                file = self.dir / Path(webhook["url_file"]).name
                file.write_text(urls[receiver["name"]])
                webhook["url_file"] = str(file)
        (self.dir / "alertmanager.yml").write_text(yaml.safe_dump(config))

    @property
    def address(self) -> str:
        """Host and port of its API."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        program = alertmanager_bin()
        assert program is not None
        argv = [
            program,
            "--config.file=alertmanager.yml",
            f"--storage.path={self.dir / 'data'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
        ]
        self._process = spawn(argv, env=clean_environment(self.dir), cwd=self.dir, log=self.log)
        eventually(self._ready, timeout_s=START_TIMEOUT_S)

    def _ready(self) -> bool:
        if not self.running:
            msg = f"Alertmanager ended:\n{self.log_tail()}"
            raise RuntimeError(msg)
        return answers_200(f"http://{self.address}/-/ready")

    def post(self, *alerts: Mapping[str, Any]) -> None:
        """Send alerts, as Prometheus does."""
        request = urllib.request.Request(
            f"http://{self.address}/api/v2/alerts",
            data=json.dumps(alerts).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60):
            pass

    def inhibited(self) -> set[str]:
        """Return the names of the alerts that fire but are not sent, because another alert says the same."""
        with urllib.request.urlopen(f"http://{self.address}/api/v2/alerts", timeout=60) as answer:
            alerts = json.load(answer)
        return {alert["labels"]["alertname"] for alert in alerts if alert["status"]["inhibitedBy"]}


def _faster(config: str, faster: int) -> str:
    milliseconds = {"s": 1_000, "m": 60_000, "h": 3_600_000}

    def shorter(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) * milliseconds[found[3]] // faster}ms"

    return re.sub(r"(group_wait: |_interval: )(\d+)([smh])$", shorter, config, flags=re.MULTILINE)
