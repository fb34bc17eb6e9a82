"""The audit log in the database: linking, verification and retention, on both databases."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, delete, insert, make_url, select, text, update

from services.audit import read_point, summary, verify_audit
from services.cli import cli
from services.scheduler.loops.audit_chain import AuditChain
from shared.audit.chain import BEGINNING, FIELDS, Point, linked
from shared.errors import InvalidInput
from shared.ids import new_run_id
from shared.settings.config import load_config
from shared.store import tables as t
from shared.store.reads.audit import AuditFilter, Verified
from shared.store.reads.reader import Reads
from shared.store.writes.audit import audit_rows
from shared.store.writes.transaction import Store

NOW = datetime.now(UTC)


def entry(name: str) -> dict[str, Any]:
    texts = {field: "" for field in FIELDS if field != "at"}
    return texts | {"id": new_run_id(), "target_name": name, "occurrences": 1, "before": {}, "after": {"n": [1, "é"]}}


def add(engine: Engine, *names: str) -> None:
    with Store(engine).begin() as tx:
        tx.write(*audit_rows([entry(name) for name in names]))


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A log of six entries, ``a`` to ``f``, linked in this order."""
    chain = AuditChain(Store(engine))
    for name in "abcdef":
        add(engine, name)
        # One by one: entries of the same millisecond would be linked in the order of their random ids.
        assert chain.link() == 1
    return engine


def verify(engine: Engine, contains: Point | None = None) -> Verified:
    return Reads(engine).verify_audit(contains)


def broken(engine: Engine) -> tuple[int, str]:
    found = verify(engine)
    assert found.broken is not None
    return found.broken.position, found.broken.why


def run(engine: Engine, *statements: Any) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def at_position(position: int) -> Any:
    return select(t.audit_links.c.entry_id).where(t.audit_links.c.position == position).scalar_subquery()


def test_entries_are_linked_once_and_the_chain_holds(filled: Engine) -> None:
    chain = AuditChain(Store(filled))
    add(filled, "g")
    assert (verify(filled).waiting, verify(filled).links, verify(filled).broken) == (1, 6, None)

    assert (chain.link(), chain.link()) == (1, 0)

    found = verify(filled)
    assert (found.start, found.end.position, found.links, found.waiting, found.broken) == (BEGINNING, 7, 7, 0, None)
    assert [row.position for row in Reads(filled).audit(AuditFilter(target="g"), limit=9)] == [7]


def test_an_entry_that_is_delivered_again_is_recorded_and_linked_once(filled: Engine) -> None:
    row = entry("twice")
    for _ in range(2):
        with Store(filled).begin() as tx:
            tx.write(*audit_rows([row]))
        AuditChain(Store(filled)).link()

    found = verify(filled)
    assert (found.links, found.waiting, found.broken) == (7, 0, None)


def test_an_altered_entry_is_found(filled: Engine) -> None:
    run(filled, update(t.audit).where(t.audit.c.id == at_position(3)).values(actor_name="somebody else"))

    position, why = broken(filled)
    assert (position, "altered" in why) == (3, True)


def test_a_removed_entry_is_found(filled: Engine) -> None:
    run(filled, delete(t.audit).where(t.audit.c.id == at_position(3)))

    position, why = broken(filled)
    assert (position, "its entry" in why, "is removed" in why) == (3, True, True)


def test_an_entry_removed_with_its_link_is_found(filled: Engine) -> None:
    run(
        filled,
        delete(t.audit).where(t.audit.c.id == at_position(3)),
        delete(t.audit_links).where(t.audit_links.c.position == 3),
    )

    assert broken(filled) == (3, "positions 3 to 3 are removed")


def test_entries_that_changed_places_are_found(filled: Engine) -> None:
    with filled.begin() as connection:
        ids = dict(connection.execute(select(t.audit_links.c.position, t.audit_links.c.entry_id)).all())
        for position, entry_id in ((2, "between"), (3, ids[2]), (2, ids[3])):
            where = t.audit_links.c.position == position
            connection.execute(update(t.audit_links).where(where).values(entry_id=entry_id))

    assert broken(filled)[0] == 2


def test_an_entry_that_was_inserted_without_a_link_is_found(filled: Engine) -> None:
    run(filled, insert(t.audit).values({**entry("x"), "at": NOW}))

    assert "is inserted without a link" in broken(filled)[1]


def test_an_entry_that_was_inserted_between_others_is_found(filled: Engine) -> None:
    with filled.begin() as connection:
        links = connection.execute(select(t.audit_links).order_by(t.audit_links.c.position)).all()
        new = {**entry("x"), "at": NOW}
        connection.execute(insert(t.audit).values(new))
        for each in reversed(links[3:]):
            where = t.audit_links.c.position == each.position
            connection.execute(update(t.audit_links).where(where).values(position=each.position + 1))
        [link] = linked(Point(3, links[2].hash), [new])
        row = {"position": 4, "entry_id": link.entry_id, "previous": link.previous, "hash": link.hash}
        connection.execute(insert(t.audit_links).values(row))

    assert broken(filled)[0] == 5


def test_a_removed_end_is_found_with_a_hash_that_was_noted(filled: Engine) -> None:
    noted = verify(filled).end
    assert verify(filled, noted).broken is None
    with filled.begin() as connection:
        for position in (5, 6):
            connection.execute(delete(t.audit).where(t.audit.c.id == at_position(position)))
            connection.execute(delete(t.audit_links).where(t.audit_links.c.position == position))

    # Without the noted hash nobody could know.
    assert verify(filled).broken is None
    found = verify(filled, noted)
    assert found.broken is not None
    assert found.broken.why == "the chain ends at position 4: its end is removed"


def test_a_chain_that_was_written_anew_is_found_with_a_hash_that_was_noted(filled: Engine) -> None:
    noted = verify(filled).end
    run(filled, update(t.audit).where(t.audit.c.id == at_position(2)).values(actor_name="somebody else"))
    run(filled, delete(t.audit_links), insert(t.audit_unlinked).from_select(["entry_id"], select(t.audit.c.id)))
    AuditChain(Store(filled)).link()

    assert verify(filled).broken is None
    assert "written anew" in str(verify(filled, noted).broken)


def test_many_linkers_at_once_make_one_chain(engine: Engine) -> None:
    chains = [AuditChain(Store(engine)) for _ in range(2)]

    def work(number: int) -> None:
        for each in range(10):
            add(engine, f"{number}-{each}-a", f"{number}-{each}-b")
            chains[number % 2].link()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    chains[0].link()

    found = verify(engine)
    assert (found.links, found.end.position, found.waiting, found.broken) == (80, 80, 0, None)


def test_retention_keeps_a_chain_that_can_be_verified(filled: Engine) -> None:
    noted = verify(filled).end
    run(filled, update(t.audit).where(t.audit.c.target_name.in_(["a", "b", "c"])).values(at=NOW - timedelta(days=50)))
    assert AuditChain(Store(filled), keep_days=60).prune() == 0
    assert AuditChain(Store(filled)).prune() == 0

    chain = AuditChain(Store(filled), keep_days=40)
    assert (chain.prune(), chain.prune()) == (3, 0)
    chain.link()

    found = verify(filled, noted)
    assert (found.start.position, found.end.position, found.broken) == (3, 7, None)
    newest = Reads(filled).audit(AuditFilter(), limit=9)[0]
    assert (newest.operation, newest.actor_kind, newest.after) == (
        "audit.prune",
        "system",
        {"removed": 3, "keep_days": 40},
    )
    assert summary(found).startswith(f"intact: 4 entries, 0 not linked yet, begins behind 3:{found.start.hash}")


def test_a_chain_from_which_everything_was_removed_goes_on(filled: Engine) -> None:
    run(filled, update(t.audit).values(at=NOW - timedelta(days=50)))
    chain = AuditChain(Store(filled), keep_days=40)
    assert chain.prune() == 6

    add(filled, "g")
    chain.link()

    found = verify(filled)
    assert (found.start.position, found.end.position, found.links, found.broken) == (6, 8, 2, None)


def test_the_command_verifies_with_a_user_who_may_only_read(
    filled: Engine, store_url: str, tmp_path: Any, read_only_url: Callable[[str], str]
) -> None:
    config = load_config({"database_url": read_only_url(store_url), "data_dir": str(tmp_path)}, {})

    found = verify_audit(config, None)

    assert summary(found) == f"intact: 6 entries, 0 not linked yet, ends at {found.end}"
    assert verify_audit(config, read_point(str(found.end))).broken is None
    run(filled, update(t.audit).where(t.audit.c.id == at_position(2)).values(code="other"))
    assert summary(verify_audit(config, None)).startswith("BROKEN at position 2: its entry ")


def test_the_exit_code_says_whether_the_chain_holds(filled: Engine, store_url: str) -> None:
    command = ["audit", "verify", "--database-url", store_url]

    intact = CliRunner().invoke(cli, command)
    run(filled, delete(t.audit).where(t.audit.c.id == at_position(2)))
    broken_now = CliRunner().invoke(cli, command)
    in_json = CliRunner().invoke(cli, [*command, "--json"])

    assert (intact.exit_code, intact.output.startswith("intact: 6 entries")) == (0, True)
    assert (broken_now.exit_code, broken_now.output.startswith("BROKEN at position 2")) == (1, True)
    found = json.loads(in_json.stdout)
    assert (in_json.exit_code, found["intact"], found["broken"]["position"]) == (1, False, 2)


def test_a_folder_or_a_database_without_an_audit_log_is_named(tmp_path: Path) -> None:
    nowhere = CliRunner().invoke(cli, ["audit", "verify", "--data-dir", str(tmp_path)])
    empty = CliRunner().invoke(cli, ["audit", "verify", "--database-url", f"sqlite:///{tmp_path}/empty.db"])

    assert (nowhere.exit_code, nowhere.stderr.startswith("dagway: there is no database ")) == (2, True)
    assert not (tmp_path / "dagway.db").exists()
    assert (empty.exit_code, "run dagway migrate" in empty.stderr) == (2, True)


@pytest.fixture
def read_only_url(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return a function that returns the URL of a user of the role ``dagway_api``; on SQLite there are no users."""

    def make(url: str) -> str:
        if not url.startswith("postgresql"):
            return url
        engine: Engine = request.getfixturevalue("engine")
        user = f"reader_{engine.url.database}"
        run(engine, text(f"CREATE ROLE {user} LOGIN PASSWORD 'pw' IN ROLE dagway_api"))
        return make_url(url).set(username=user, password="pw").render_as_string(hide_password=False)

    return make


def test_a_point_must_be_a_position_and_a_hash() -> None:
    for wrong in ("", "3", "3:ab", f"x:{'a' * 64}"):
        with pytest.raises(InvalidInput):
            read_point(wrong)
