"""``dagway import dagu``: brings a home folder of Dagu 1.30 or 2 into a database of Dagway."""

from pathlib import Path

from services.importing.accounts import import_accounts
from services.importing.dagu_home import open_home, read_optional
from services.importing.definitions import import_definitions
from services.importing.history import import_history
from services.importing.report import Report
from services.importing.target import open_target
from shared.language.load import load
from shared.settings.config import Config

__all__ = ["import_dagu"]

_NO_DATA = "there is no such folder, so no runs, users, keys and webhooks: name it as paths.dataDir in config.yaml"


def import_dagu(config: Config, root: Path, version: str, *, dry_run: bool = False, history: bool = True) -> Report:
    """Import a home. What is here already stays as it is, so it can be repeated, and goes on after it was cut off.

    Raises:
        ConfigInvalid: there is no home, Dagu is running in it, or the database has an earlier schema.
        StoreUnavailable: the database is unavailable.
    """
    home = open_home(root.expanduser().resolve())
    report = Report()
    for setting, line in home.settings.items():
        report.add("setting", setting, "differs", line)
    base = read_optional(home.base) or ""
    if base:
        problems = "; ".join(map(str, load("steps: []\n", base=base).errors))
        hint = f"set DAGWAY_BASE_CONFIG={home.base} for the schedulers"
        report.add("base config", home.base.name, "refused" if problems else "differs", problems or hint)
    with open_target(config, dry_run=dry_run) as target:
        import_definitions(target, report, home.dags, home.suspend, version=version, base=base, into=config.dags_dir)
        import_accounts(target, report, home)
        for folder, why in home.left_behind():
            report.add("folder", folder, "refused", why)
        if not home.data.is_dir():
            report.add("data", str(home.data), "refused", _NO_DATA)
        if history:
            import_history(target, report, home, base)
    return report
