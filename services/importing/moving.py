"""``dagway move``: brings what is in the folder of ``dagway up`` to the database of a system on RabbitMQ and Postgres.

The folder is closed then: ``dagway up`` refuses it, so that no scheduled time counts twice.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from shared.errors import ConfigInvalid
from shared.moved_folder import close_folder, mark_of
from shared.settings.config import Config
from shared.store.copying import Begun, Copied, copy_database, running_runs
from shared.store.engine import open_engine
from shared.store.migrate import migrate, require_head
from shared.transport.base import COMMANDS, LOGS
from shared.transport.embedded.journal import Journal

__all__ = ["move"]

_MUST_ARRIVE = {COMMANDS.name: "commands that were accepted", LOGS.name: "lines of logs"}
"""By broker queue: messages that no other process could know. Tasks and reports of ended attempts may stay behind."""
_HOW = "start dagway up, pause everything (dagway pause --all), wait until no run is running, and stop it"


def move(config: Config, to: str, *, dry_run: bool = False) -> Copied:
    """Copy every row of the data folder's database to the database at the URL ``to``, and close the folder.

    Repeated after it was interrupted, it starts again, or finds that everything has arrived. Repeated after it was
    done, it changes nothing.

    Raises:
        ConfigInvalid: there is no database in the folder, something in it is still under way, the target has data of
            its own or an earlier schema, or the folder was moved elsewhere.
        BrokerUnavailable: ``dagway up`` uses the folder.
        StoreUnavailable: a database is unavailable.
    """
    path = config.data_dir / "dagway.db"
    if not path.exists():
        raise ConfigInvalid(f"there is no database of dagway up in {config.data_dir} (--data-dir)")
    try:
        target = open_engine(to, pool_size=1, application_name="dagway-move")
    except ConfigInvalid as error:
        raise ConfigInvalid(f"--to: {str(error).removeprefix('DAGWAY_DATABASE_URL: ')}") from error
    shown = target.url.render_as_string(hide_password=True)
    mark = mark_of(config.data_dir)
    if mark is not None and mark.to != shown:
        if mark.pending:
            raise ConfigInvalid(f"a move of {config.data_dir} to {mark.to} was interrupted: finish that one first")
        raise ConfigInvalid(f"{config.data_dir} was moved to {mark.to}, so it cannot be moved to another database")
    begun: Begun = "" if mark is None else "pending" if mark.pending else "done"
    source = open_engine(f"sqlite:///{path}", pool_size=1, read_only=True)
    try:
        with _journal(config.data_dir / "transport.sqlite3") as waiting:
            migrate(f"sqlite:///{path}")
            require_head(target)
            _require_rest(running_runs(source), waiting)
            # Closed before the commit: in doubt no scheduler may run on the folder.
            close = None if dry_run else partial(close_folder, config.data_dir, shown, pending=True)
            copied = copy_database(source, target, close, begun=begun)
            if not dry_run:
                close_folder(config.data_dir, shown, pending=False)
            return copied
    finally:
        source.dispose()
        target.dispose()


@contextmanager
def _journal(path: Path) -> Iterator[Mapping[str, int]]:
    """Hold the journal, which only one process can, and yield how many messages wait in each broker queue.

    Raises ``BrokerUnavailable`` if ``dagway up`` runs.
    """
    journal = Journal(path)
    try:
        yield Counter(message.queue for message in journal.found)
    finally:
        journal.close()


def _require_rest(running: int, waiting: Mapping[str, int]) -> None:
    """Refuse a folder in which something is under way: its steps run on this machine, and nothing could end them."""
    for queue, what in _MUST_ARRIVE.items():
        if count := waiting.get(queue):
            raise ConfigInvalid(f"{count} {what} are not stored yet: {_HOW}")
    if running:
        raise ConfigInvalid(f"{running} runs are running: {_HOW}")
