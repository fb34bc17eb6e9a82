"""A scheduler and a worker in this process, in a folder that disappears: for runs that leave nothing behind.

It is the engine of ``dagway up`` without gateway, DAG folder and journal. Its database lives as long as the block.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.processes.scheduler import make_scheduler, scheduler_settings
from services.processes.worker import make_worker
from services.worker.process.privileges import start_guardian
from shared.clock import utc_now
from shared.contracts.codec import decode_as, encode
from shared.contracts.commands import Command, CommandReply
from shared.errors import DagwayError
from shared.garbage import freeze_loaded
from shared.ids import new_command_id
from shared.settings.config import Config
from shared.store.create_schema import create_schema
from shared.store.engine import open_engine
from shared.store.reads.logs import LogReads
from shared.store.reads.runs import RunReads
from shared.store.writes.transaction import Store
from shared.transport.base import COMMANDS, Outgoing, Transport
from shared.transport.open import open_transport

__all__ = ["CommandRefused", "LocalEngine", "LocalReads", "engine_here"]

_WORKER = "here"
_REPLY_S = 30.0
_DRAIN_S = 5


class CommandRefused(DagwayError):
    """The scheduler refused a command."""


class LocalReads(RunReads, LogReads):
    """Reads of runs and their logs. Everything else that a gateway reads need not be imported for one run."""


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """A running engine: carries out commands, and answers reads."""

    reads: LocalReads
    transport: Transport

    def carry_out(self, command: Command) -> dict[str, Any]:
        """Send a command to the scheduler of this process, wait for its reply and return the result.

        Raises:
            CommandRefused: the scheduler refused the command.
            TimeoutError: there was no reply within ``_REPLY_S``.
        """
        command_id = new_command_id()
        body = encode(command, id=command_id, at=utc_now())
        reply = decode_as(self.transport.request(Outgoing(COMMANDS, body, command_id)).reply(_REPLY_S), CommandReply)
        if reply.error is not None:
            raise CommandRefused(reply.error.message)
        return reply.result


@contextmanager
def engine_here(
    config: Config, version: str, *, base_config: str = "", on_death: Callable[[], None]
) -> Iterator[LocalEngine]:
    """Run an engine during the block. Steps that still run at its end are stopped.

    Of ``config`` only the settings of steps count: no broker, database server or port is used. Starts threads and
    the guardian, so the process must have no threads yet. ``on_death`` is called if a bug ends a part of the engine.
    """
    with tempfile.TemporaryDirectory(prefix="dagway-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        config = replace(config, data_dir=folder, amqp_url="", database_url="", dags_dir=None, verify_every_s=0)
        guardian = start_guardian(config)
        url = create_schema(folder / "dagway.db")
        engine = open_engine(url, pool_size=6, synced=False)
        reading = open_engine(url, pool_size=2, read_only=True)
        # Without a data folder, messages are in memory only: they end with the process, as the database does.
        transport = open_transport("embedded:", name="dagway")
        settings = scheduler_settings(config, version, base_config=base_config, dag_files=None)
        scheduler = make_scheduler(config, settings, Store(engine), transport, on_death)
        worker = make_worker(config, transport, version, on_death, worker_id=_WORKER, guardian=guardian)
        freeze_loaded()
        scheduler.start()
        worker.start()
        try:
            yield LocalEngine(LocalReads(reading), transport)
        finally:
            worker.stop(drain_s=_DRAIN_S)
            scheduler.stop()
            transport.close()
            engine.dispose()
            reading.dispose()
