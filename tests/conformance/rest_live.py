"""Scheduler, worker and gateway in this process on a real database and broker, behind the gateway's test client."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask.testing import FlaskClient

from services.api.app import create_app
from services.api.command_client import Commands
from services.api.deps import Deps
from services.api.settings import Settings
from services.scheduler.main import Scheduler, SchedulerSettings
from services.worker.inputs.secret_values import SecretResolver
from services.worker.main import Worker, WorkerSettings
from shared.clock import utc_now
from shared.contracts.signing_keys import SharedKey
from shared.secret_box import SecretBox
from shared.store.engine import open_engine
from shared.store.reads.reader import Reads
from shared.store.writes.transaction import Store
from shared.transport.open import open_transport
from tests.harness.databases import gateways_url
from tests.harness.eventually import PATIENCE_S, eventually

if TYPE_CHECKING:
    from tests.conformance.conftest import Deployment

__all__ = ["BUILTIN", "SECRET", "Live", "open_live"]

SECRET = "a secret of the tests, long enough for HS256"
BUILTIN = Settings(auth_mode="builtin", token_secret=SECRET, admin_password="adminadmin")
"""Logins with usernames and passwords. The first user is ``admin``."""
_ADDRESSES = (f"198.18.{number >> 8 & 255}.{number & 255}" for number in itertools.count(1))
"""A client address for each gateway: failed logins count in the database, and so for all tests of one address."""


class Live:
    """Sends requests and waits for their effects. ``app_with`` opens another gateway on the same state."""

    def __init__(self, deps: Deps, reads: Reads) -> None:
        self.deps = deps
        self.reads = reads
        self.client: FlaskClient = create_app(deps).test_client()
        self.address = next(_ADDRESSES)
        """The client address of its requests."""

    def app_with(
        self, settings: Settings, *, clock: Callable[[], datetime] = utc_now, box: SecretBox | None = None
    ) -> "Live":
        """``box`` seals stored secrets; by default it is this gateway's."""
        box = self.deps.settings.secret_box if box is None else box
        deps = Deps(
            transport=self.deps.transport,
            commands=self.deps.commands,
            reads=self.reads,
            clock=clock,
            version="test",
            uptime_s=self.deps.uptime_s,
            settings=replace(settings, secret_box=box),
        )
        return Live(deps, self.reads)

    def ask(self, method: str, path: str, json: Any = None, **options: Any) -> Any:
        headers = dict(options.pop("headers", {}))
        token = options.pop("token", None)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        options.setdefault("environ_base", {"REMOTE_ADDR": self.address})
        return self.client.open(f"/api/v2{path}", method=method, json=json, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        response = self.ask("GET", path, **options)
        assert response.status_code == 200, response.get_data(as_text=True)
        return response.get_json()

    def post(self, path: str, json: Any = None, *, status: int = 200, **options: Any) -> Any:
        response = self.ask("POST", path, json, **options)
        assert response.status_code == status, response.get_data(as_text=True)
        return response.get_json(silent=True)

    def log_in(self, username: str = "admin", password: str = "adminadmin") -> str:
        """Return the token of a login that must succeed."""
        return str(self.post("/auth/login", {"username": username, "password": password})["token"])

    def refused(self, method: str, path: str, json: Any = None, **options: Any) -> tuple[int, str]:
        """Return the status and error code of a request that must fail with the error envelope."""
        response = self.ask(method, path, json, **options)
        content = response.get_json()
        assert set(content) >= {"code", "message"}, content
        assert content["message"]
        return response.status_code, content["code"]

    def dag(self, name: str, spec: str = "steps:\n  - echo hi\n") -> None:
        self.post("/dags", {"name": name, "spec": spec}, status=201)

    def start(self, name: str, **body: Any) -> str:
        return str(self.post(f"/dags/{name}/start", body)["dagRunId"])

    def run(self, name: str, run_id: str, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/dag-runs/{name}/{run_id}", **options)["dagRunDetails"]
        return found

    def until(self, name: str, run_id: str, status: int, **options: Any) -> dict[str, Any]:
        def there() -> dict[str, Any]:
            found = self.run(name, run_id, **options)
            assert found["status"] == status, found
            return found

        return eventually(there)


@contextmanager
def open_live(
    deployment: "Deployment", settings: Settings | None = None, *, dags_dir: Path | None = None
) -> Iterator[Live]:
    """Open scheduler, worker and gateway."""
    engine = open_engine(deployment.database_url, pool_size=12)
    reader = open_engine(gateways_url(deployment.database_url), read_only=True)
    transport = open_transport(deployment.transport_url, name="test")
    eventually(lambda: transport.healthy)
    deaths: list[str] = []
    scheduler = Scheduler(
        Store(engine),
        transport,
        SchedulerSettings(version="test", lease_s=10, dags_dir=dags_dir),
        clock=utc_now,
        on_death=lambda: deaths.append("a thread died"),
    )
    keys = (SharedKey("k1", b"a key of the tests to seal secrets"),)
    box = SecretBox([SharedKey("s1", b"a key of the tests for stored secrets")])
    worker = Worker(
        transport,
        WorkerSettings(worker_id="w1", slots=20, data_dir=deployment.folder / "worker", seal_keys=keys),
        resolver=SecretResolver(box=box),
    )
    scheduler.start()
    worker.start()
    reads = Reads(reader)
    deps = Deps(
        transport=transport,
        commands=Commands(transport, utc_now, reply_timeout_s=PATIENCE_S),
        reads=reads,
        clock=utc_now,
        version="test",
        uptime_s=lambda: 90.0,
        settings=replace(settings or Settings(), secret_box=box),
    )
    try:
        yield Live(deps, reads)
    finally:
        deps.closing.set()
        deps.audit.close()
        worker.stop()
        scheduler.stop()
        transport.close()
        engine.dispose()
        reader.dispose()
    assert deaths == []
