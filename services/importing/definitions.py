"""Imports workflow files, with their suspend flags, and files that steps may call."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from services.importing.report import Report
from services.importing.target import Target
from services.scheduler.commands.definitions import Definitions, Version
from services.scheduler.deciding.dag_folder.atomic_files import create_file
from services.scheduler.deciding.dag_folder.dag_files import DagFiles, read_data, text_of
from services.scheduler.deciding.plans import Plans, spec_hash
from services.scheduler.loops.folder_files import list_files, reason
from shared.language.load import LoadResult, load

__all__ = ["BY", "import_definitions", "save_definition", "write_copy"]

BY = "import"
"""The author of versions that an import stored."""

_KIND = "workflow"
_OTHER = "another text is here, and stays"


def import_definitions(
    target: Target, report: Report, dags: Path, flags: Sequence[Path], *, version: str, base: str, into: Path | None
) -> None:
    """Import the files of the folder ``dags``, with the suspend flags in the folders ``flags``.

    ``into``: the DAG folder of the configuration, which gets the files too.

    A workflow that is here already with another text stays as it is. ``version``: that of this program.
    """
    if not dags.is_dir():
        report.add(_KIND, str(dags), "refused", "there is no such folder")
        return
    listing = list_files(dags)
    for name, why in sorted(listing.refused.items()):
        report.add(_KIND, name, "refused", why)
    suspended = [DagFiles(dags, folder) for folder in flags]
    texts: dict[str, str] = {}
    for name in sorted(listing.files.keys() - listing.refused.keys()):
        try:
            data = read_data(dags / name)
        except OSError as error:
            report.add(_KIND, name, "refused", reason(error))
            continue
        texts[name] = text_of(data)
    own = into is not None and into.resolve() != dags.resolve()
    for name, text in texts.items():
        if own and into is not None and (why := write_copy(into / name, text, dry_run=target.dry_run)):
            report.add(_KIND, name, "differs", why)
            continue
        stem = str(PurePosixPath(name).with_suffix(""))
        if "/" not in name:
            flag = any(each.suspended(stem) for each in suspended)
            save_definition(
                target, report, name, text, version=version, base=base, suspend=flag, follows=into is not None
            )
    _save_callable(target, report, {name: text for name, text in texts.items() if "/" in name})


def save_definition(
    target: Target, report: Report, name: str, text: str, *,
    version: str, base: str = "", suspend: bool = False, follows: bool = False, remark: str = "",
) -> None:  # fmt: skip
    """Store a workflow unless it is here already.

    ``follows``: its file is in the DAG folder. ``remark``: what differs from where it comes from.
    """
    stem = str(PurePosixPath(name).with_suffix(""))
    loaded = load(text, file_name=stem, base=base)
    text_hash = spec_hash(text)
    with target.begin() as tx:
        row = tx.dags.lock(stem)
        if row is not None:
            same = row["spec_hash"] == text_hash
            report.add(_KIND, name, "unchanged" if same else "differs", "" if same else _OTHER)
            return
        now = target.store.clock()
        made = replace(Version.of(stem, text, loaded), folder_hash=text_hash if follows else None)
        Definitions(tx, Plans(version=version), now).save([made], by=BY)
        if suspend:
            tx.dags.save(stem, {"suspended": True})
    why = _problems(loaded) or remark
    report.add(_KIND, name, "differs" if why else "loaded", why)


def _problems(loaded: LoadResult) -> str:
    if loaded.ok:
        return "; ".join(f"warning: {issue}" for issue in loaded.warnings)
    return f"is stored with its errors, and does not run: {'; '.join(str(issue) for issue in loaded.errors)}"


def _save_callable(target: Target, report: Report, texts: Mapping[str, str]) -> None:
    hashes = {str(PurePosixPath(name).with_suffix("")): spec_hash(text) for name, text in texts.items()}
    with target.begin() as tx:
        known = tx.dags.callable_files(list(hashes)) if hashes else {}
        new = {path: text_hash for path, text_hash in hashes.items() if path not in known}
        tx.dags.add_specs({spec_hash(text): text for text in texts.values()}, target.store.clock())
        tx.dags.put_callable_files(new)
    for name in texts:
        path = str(PurePosixPath(name).with_suffix(""))
        if path in new:
            report.add("callable file", name, "loaded")
        elif known[path] == hashes[path]:
            report.add("callable file", name, "unchanged")
        else:
            report.add("callable file", name, "differs", _OTHER)


def write_copy(path: Path, text: str, *, dry_run: bool) -> str:
    """Write a file that does not exist; return why the file does not have this text then, or an empty text."""
    try:
        return "" if text_of(read_data(path)) == text else f"{path} has another text, which stays"
    except FileNotFoundError:
        if not dry_run:
            path.parent.mkdir(parents=True, exist_ok=True)
            create_file(path, text.encode())
        return ""
    except OSError as error:
        return f"{path}: {reason(error)}"
