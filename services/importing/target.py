"""The database that an import writes to."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path

from services.processes.database import time_limits
from shared.moved_folder import require_open
from shared.settings.config import Config
from shared.store.create_schema import create_schema
from shared.store.engine import open_engine
from shared.store.migrate import HEAD, current, migrate, require_head
from shared.store.writes.transaction import Store, Transaction
from shared.transport.base import Transport
from shared.transport.open import open_transport

__all__ = ["Target", "open_target"]


class _Undone(Exception):
    """Ends a transaction that must leave nothing behind."""


class Target:
    """Opens transactions. With ``dry_run``, each of them is undone at its end."""

    def __init__(self, store: Store, *, dry_run: bool) -> None:
        self.store = store
        self.dry_run = dry_run

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """Run the block in one transaction. Raises as ``Store.begin`` does."""
        try:
            with self.store.begin() as tx:
                yield tx
                if self.dry_run:
                    raise _Undone
        except _Undone:
            pass


@contextmanager
def open_target(config: Config, *, dry_run: bool) -> Iterator[Target]:
    """Open the configured database: a server's, or that of ``dagway up`` in the data folder, which is made if needed.

    A dry run without a database in the data folder uses an empty one that is deleted afterwards.

    Raises:
        ConfigInvalid: the database has an earlier schema.
        StoreUnavailable: the database is unavailable.
        BrokerUnavailable: ``dagway up`` of an earlier version runs on the data folder.
    """
    with ExitStack() as stack:
        url = config.database_url or f"sqlite:///{config.data_dir / 'dagway.db'}"
        if not config.database_url:
            require_open(config.data_dir)
        if not config.database_url and not dry_run:
            config.make_data_dir()
            # One process at a time can open the journal: this fails while an earlier version runs on the folder.
            with nullcontext() if current(url) in (None, HEAD) else closing(_journal(config)):
                migrate(url)
        elif not config.database_url and current(url) is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-import-"))
            url = create_schema(Path(folder) / "dagway.db")
        engine = open_engine(url, pool_size=2, application_name="dagway-import", limits=time_limits(config))
        stack.callback(engine.dispose)
        if config.database_url or current(url) is not None:
            require_head(engine)
        yield Target(Store(engine), dry_run=dry_run)


def _journal(config: Config) -> Transport:
    return open_transport("embedded:", name="dagway-import", data_dir=config.data_dir)
