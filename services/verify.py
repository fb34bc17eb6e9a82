"""``dagway verify``: check a database against the guarantees."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from shared.errors import ConfigInvalid
from shared.settings.config import Config
from shared.store.checks.verify import CHECKS, CheckResult, verify
from shared.store.engine import open_engine

__all__ = ["as_json", "as_text", "check_database", "database_to_read"]


def check_database(
    config: Config, now: datetime, only: Sequence[str] = (), *, limit: int = 20
) -> tuple[CheckResult, ...]:
    """Run the checks named in ``only``, or all, on the configured database. Reads only, in one snapshot.

    Without a database URL, the database of ``dagway up`` in the data folder is read.

    Raises:
        ConfigInvalid: a check or the database does not exist, or the database has an earlier schema.
        StoreUnavailable: the database is unavailable.
    """
    if unknown := sorted(set(only) - {check.name for check in CHECKS}):
        raise ConfigInvalid(f"--check: unknown: {', '.join(unknown)}; known: {', '.join(c.name for c in CHECKS)}")
    engine = open_engine(database_to_read(config), pool_size=1, read_only=True)
    try:
        return verify(engine, now, config.lease_s, limit=limit, only=only)
    finally:
        engine.dispose()


def database_to_read(config: Config) -> str:
    """Return the URL of the configured database, else of that in the data folder, which must be there."""
    if config.database_url:
        return config.database_url
    path = config.data_dir / "dagway.db"
    if not path.is_file():
        raise ConfigInvalid(f"there is no database {path}: set DAGWAY_DATABASE_URL or DAGWAY_DATA_DIR")
    return f"sqlite:///{path}"


def as_text(results: Sequence[CheckResult]) -> Iterator[str]:
    """Yield a line for each check, and below it what it found and what to do."""
    for result in results:
        yield f"{result.check.name:26} {result.check.invariant:4} {result.count or 'ok'}"
        for violation in result.shown:
            ids = " ".join(f"{name}={value}" for name, value in violation.ids.items())
            yield f"    {violation.text} [{ids}]"
        if result.count > len(result.shown):
            yield f"    and {result.count - len(result.shown)} more"
        if result.count:
            yield f"    what to do: {result.check.remedy}"
    violations = sum(result.count for result in results)
    yield f"{len(results)} checks, {violations} violations"


def as_json(results: Sequence[CheckResult]) -> str:
    """Return the results as one JSON object."""
    return json.dumps(
        {
            "violations": sum(result.count for result in results),
            "checks": [
                {
                    "name": result.check.name,
                    "invariant": result.check.invariant,
                    "proves": result.check.proves,
                    "count": result.count,
                    "violations": [{"text": one.text, "ids": dict(one.ids)} for one in result.shown],
                    **({"remedy": result.check.remedy} if result.count else {}),
                }
                for result in results
            ],
        },
        indent=2,
    )
