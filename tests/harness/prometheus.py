"""Real Prometheus servers for tests. They use the shipped configuration, with targets on loopback."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.harness.eventually import PATIENCE_S, answers_200, eventually, free_port
from tests.harness.procs import clean_environment
from tests.harness.reaper import forget, spawn

__all__ = ["Prometheus", "prometheus_bin"]

DOCS_URL = "https://docs.example.com/dagway"
SHIPPED = Path(__file__).parents[2] / "deploy/prometheus"


def prometheus_bin() -> Path | None:
    """Return the path of the program, or ``None`` if it is not installed."""
    found = shutil.which("prometheus")
    return Path(found) if found else None


class Prometheus:
    """One server in its own folder.

    ``name`` is the shipped configuration: ``leaf`` or ``global``. ``targets`` are the targets of each job, as
    ``(address, labels)``; they replace the job's discovery. Intervals are shorter; everything else is as shipped.
    ``faster`` divides the times in the rules: how long an alert has to last, and the windows of rates.
    ``alertmanager`` is the address of the Alertmanager that gets the alerts.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        targets: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]],
        *,
        site: str = "",
        every_s: int = 1,
        faster: int = 1,
        alertmanager: str = "",
    ) -> None:
        self.folder, self.port, self.site = folder, free_port(), site
        folder.mkdir(parents=True)
        config = yaml.safe_load((SHIPPED / f"{name}.yml").read_text())
        config["global"] |= dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{every_s}s")
        jobs = [job for job in config["scrape_configs"] if job["job_name"] in targets]
        for job in jobs:
            for key in ("dns_sd_configs", "file_sd_configs", "relabel_configs"):
                job.pop(key, None)
            job["static_configs"] = [
                {"targets": [address], "labels": dict(labels)} for address, labels in targets[job["job_name"]]
            ]
        config["scrape_configs"] = jobs
        if alertmanager:
            config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
        for file in config.get("rule_files", []):
            (folder / file).write_text(_sped_up((SHIPPED / file).read_text(), faster))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.log = folder / "prometheus.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Start the server and return when it answers. It keeps what it recorded before."""
        program = prometheus_bin()
        assert program is not None
        argv = [
            str(program),
            "--config.file=prometheus.yml",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=expand-external-labels",
        ]
        env = clean_environment(self.folder, DAGWAY_SITE=self.site, DAGWAY_DOCS=DOCS_URL)
        self._process = spawn(argv, env=env, cwd=self.folder, log=self.log)
        eventually(self._ready)

    @property
    def running(self) -> bool:
        """Whether the server's process exists."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill the server by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            forget(self._process)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            msg = f"prometheus ended:\n{self.log.read_text()[-2000:]}"
            raise RuntimeError(msg)
        return answers_200(f"http://127.0.0.1:{self.port}/-/ready")

    def ask(self, query: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the values of an instant query by labels, without the metric's name."""
        results = self._api("query", query=query)
        return {
            tuple(sorted((key, value) for key, value in one["metric"].items() if key != "__name__")): float(
                one["value"][1]
            )
            for one in results
        }

    def raw(self, selector: str) -> list[list[float]]:
        """Return all samples of the last ten minutes, a list for each series."""
        return [[float(value) for _, value in one["values"]] for one in self._api("query", query=f"{selector}[10m]")]

    def _api(self, what: str, **arguments: str) -> list[Any]:
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            found: list[Any] = json.load(answer)["data"]["result"]
            return found


def _sped_up(rules: str, faster: int) -> str:
    seconds = {"s": 1, "m": 60, "h": 3600}

    def shorter(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) * seconds[found[3]] // faster}s{found[4]}"

    return re.sub(r"(for: |offset |\[)(\d+)([smh])(\]|\)|$)", shorter, rules, flags=re.MULTILINE)
