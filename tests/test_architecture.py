"""Rules for the whole code base that our linters do not check."""

import ast
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_LINES = 400
BANNED_MODULES = {"utils", "util", "common", "helpers", "helper", "misc"}
OUR_SEAMS = ("shared.transport", "shared.store", "pika", "sqlalchemy")

# Words of places where this was written. Put together here, so that this file holds none of them.
PRIVATE_WORDS = [
    "/" + "work/",
    "/" + "work" + " ",
    "farm" + "-",
    "artifact" + "ory",
    "nexus" + ".",
    "devpi" + ".",
    "DESIGN" + ".md",
    "LIBS" + ".md",
    "STYLE" + ".md",
    "LIMITS" + ".md",
    "REST_CONTRACT" + ".md",
    "WORKFLOW_LANGUAGE" + ".md",
    "/opt/" + "wheels",
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "registry." + "npmjs",
    "deb." + "debian",
]


@cache
def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode:
        # A source archive has no history: then everything that it brings counts.
        skip = {".venv", ".git", "__pycache__", ".dagway"}
        return [path for path in ROOT.rglob("*") if path.is_file() and not skip & set(path.relative_to(ROOT).parts)]
    names = listing.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def python_files(*folders: str) -> list[Path]:
    return [
        path
        for path in tracked_files()
        if path.suffix == ".py" and (not folders or path.relative_to(ROOT).parts[0] in folders)
    ]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules() -> Iterator[str]:
    for folder in ("dagway", "services", "shared"):
        yield folder
        for module in pkgutil.walk_packages([str(ROOT / folder)], f"{folder}."):
            # Two kinds are run rather than imported: what `python -m` runs, and what Alembic runs in its context.
            if not module.name.endswith("__main__") and not module.name.startswith("shared.store.migrations."):
                yield module.name


def test_no_file_is_longer_than_one_can_hold_in_mind() -> None:
    long = {str(path.relative_to(ROOT)): lines for path in python_files() if (lines := _lines(path)) > MAX_LINES}

    assert long == {}


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_every_module_is_named_for_what_it_holds() -> None:
    nameless = [
        str(path.relative_to(ROOT)) for path in python_files() if BANNED_MODULES & {path.stem, path.parent.name}
    ]

    assert nameless == []


def test_one_class_name_stands_for_one_thing() -> None:
    places: dict[str, list[Path]] = {}
    for path in python_files("dagway", "services", "shared"):
        for name in re.findall(r"^class\s+([^\W_]\w*)", path.read_text(encoding="utf-8"), re.MULTILINE):
            places.setdefault(name, []).append(path)

    # A text may hold such a line too; a parse of all files takes seconds of CPU time.
    twice = {name: [path for path in paths if _has_class(path, name)] for name, paths in places.items() if paths[1:]}
    assert {name: paths for name, paths in twice.items() if len(paths) > 1} == {}


def _has_class(path: Path, name: str) -> bool:
    return any(isinstance(node, ast.ClassDef) and node.name == name for node in tree_of(path).body)


def test_what_others_import_from_a_module_is_in_its_list() -> None:
    offered = {_module_of(path): _all_of(path) for path in python_files("dagway", "services", "shared")}
    hidden = [
        f"{path.relative_to(ROOT)}: {node.module}.{alias.name}"
        for path in python_files("dagway", "services", "shared")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and (names := offered.get(node.module or "")) is not None
        for alias in node.names
        if alias.name not in names and f"{node.module}.{alias.name}" not in offered
    ]

    assert hidden == []


def _module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _all_of(path: Path) -> set[str] | None:
    for node in tree_of(path).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def test_no_test_replaces_a_seam_by_a_mock() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {target}"
        for path in python_files("tests")
        for line, target in _patches(path)
    ]

    assert found == []


def _patches(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the places that patch the transport or the store by name, or import a mock library."""
    # Most tests patch nothing, and a parse of all takes seconds of CPU time.
    if not re.search(r"\b(?:mock|pytest_mock|patch|setattr)\b", path.read_text(encoding="utf-8")):
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from ((node.lineno, name) for name in names if name in {"unittest.mock", "mock", "pytest_mock"})
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"patch", "setattr"}
            and node.args
            and (target := ast.unparse(node.args[0]).strip("'\"")).startswith(OUR_SEAMS)
        ):
            yield node.lineno, target


_IMPORT_ALL = """
import builtins, gc, importlib, os, socket, subprocess, sys, threading

gc.disable()  # a fifth of the CPU time
third_parties, ours = sys.argv[1].split(","), sys.argv[2].split(",")
for name in third_parties:  # they may do as they like
    importlib.import_module(name)
real_open = builtins.open

def refuse(*args, **kwargs):
    raise AssertionError(f"work done at import: {args}")

def only_read(file, mode="r", *args, **kwargs):
    if set(mode) & set("wax+"):
        refuse("open", file, mode)
    return real_open(file, mode, *args, **kwargs)

sys.dont_write_bytecode = True
builtins.open = only_read
socket.socket.__init__ = subprocess.Popen.__init__ = threading.Thread.start = os.mkdir = refuse
failed = False
for name in ours:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed = True
        print(f"{name}: {error!r}")
sys.exit(failed)
"""


def test_importing_a_module_does_nothing() -> None:
    """An import opens no socket, writes no file and starts no process or thread."""
    argv = [sys.executable, "-c", _IMPORT_ALL, ",".join(sorted(set(_third_parties()))), ",".join(sorted(modules()))]

    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def _third_parties() -> Iterator[str]:
    """Yield all third-party modules that our modules import. What a text imports counts too: nothing is parsed."""
    ours = {"dagway", "services", "shared", "_typeshed"}
    for path in python_files("dagway", "services", "shared"):
        text = path.read_text(encoding="utf-8")
        for module, modules in re.findall(r"^[ \t]*(?:from (\w[\w.]*) import\b|import ([\w., ]+))", text, re.MULTILINE):
            names = [module] if module else [each.split()[0] for each in modules.split(",")]
            yield from (name for name in names if name.split(".")[0] not in ours)


def test_only_the_configuration_reads_the_environment() -> None:
    """Only the worker may read it too, for the variables that steps inherit."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files("services", "shared")
        if path.relative_to(ROOT) != Path("shared/settings/config.py")
        and path.relative_to(ROOT).parts[:2] != ("services", "worker")
        and re.search(r"\b(?:environ|getenv|environb)\b", path.read_text(encoding="utf-8"))
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv", "environb"}
        and ast.unparse(node).startswith("os.")
    ]

    assert found == []


def test_no_code_uses_the_random_generator_that_all_threads_share() -> None:
    """Hypothesis fails the test that runs when a thread of an in-process server uses that generator."""
    used = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in [*python_files("dagway", "services", "shared"), *(ROOT / "tests" / "harness").rglob("*.py")]
        if re.search(r"^(import random|from random import)\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        for line, name in _uses_of_random(path)
        if name not in {"Random", "SystemRandom"}
    ]

    assert used == []


def _uses_of_random(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the names that are taken from the module ``random``."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "random":
            yield from ((node.lineno, alias.name) for alias in node.names)


def test_tests_run_coroutines_away_from_the_loop_of_a_browser() -> None:
    """``asyncio.run`` fails in the main thread of a test process in which an earlier test has used a browser."""
    words = "asyncio" + ".run("
    used = [str(path.relative_to(ROOT)) for path in python_files("tests") if words in path.read_text(encoding="utf-8")]

    assert used == ["tests/harness/event_loops.py"]


def test_tests_that_share_a_system_create_dags_of_their_own() -> None:
    """Those of a folder share one in each test process: a name that two of them use fails when they meet there."""
    for folder, owned in (("e2e", "system"), ("faults", "system")):
        creates = re.compile(rf'(?<!{owned}\.)\bclient\.create\(\s*"([^"]+)"|"name": "([^"]+)", "spec"')
        texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / folder).glob("*.py"))]
        tests = [each for text in texts for each in re.split(r"(?m)^(?=def )", text) if each.startswith("def test_")]
        created = Counter(name for each in tests for name in {"".join(found) for found in creates.findall(each)})

        assert len(created) > 20
        assert [name for name, count in created.items() if count > 1] == [], folder


DAGS_OF_BROWSER_TESTS = re.compile(
    r"""
    \.create\( \s* (?:name\ :=\ )? f?"([^"{]+)  # of a name with a part that differs, what is before it
    | \b(?:line|pour)\(system,\ "([^"]+)"  # the functions of tests/ui that create a DAG of a given name
    | "name":\ "([^"]+)",\s*"spec"  # requests
    | ---(?:\\n|\n)name:\ ([\w-]+)  # one more DAG in the same spec
    | (?:"Name"\)(?:\.last)?|"New\ name"\)|"\#dag-name"\)) \.fill\("([^"]+)"  # forms of the pages
    """,
    re.VERBOSE,
)


_LOOSELY_SOUGHT = re.compile(r'\bpage\.get_by_(?:label\(|role\("(?!row)\w+", name=)"([^"]+)"\)')
"""What browser tests look for on a whole page, not by ``exact=True``."""


def test_no_name_of_a_dag_of_the_browser_tests_is_a_part_of_another() -> None:
    """Pages list what all tests of a process create, and a part of its name finds a button, in small or large letters.

    So ``Start asked`` would find the button *Start asked-again* of another test, too. And the label ``Name`` would find
    *Select renamed-there*, so what may be a part of a DAG's name is looked for with ``exact=True``.
    """
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "ui").glob("*.py"))]
    functions = [each for text in texts for each in re.split(r"(?m)^(?=def )", text)]
    created = Counter(
        name for each in functions for name in {"".join(found).lower() for found in DAGS_OF_BROWSER_TESTS.findall(each)}
    )
    unseen = [name for text in texts for name in re.findall(r'\.create\((?!\s*(?:name := )?f?")\s*(\w*)', text)]

    assert len(created) > 150
    assert unseen == ["queue", "name"], "write the name where the DAG is created; these are of ``line`` and ``pour``"
    assert [name for name, count in created.items() if count > 1] == []
    assert [f"{part} is in {name}" for name in created for part in created if part in name and part != name] == []
    sought = [text.lower() for each in texts for text in _LOOSELY_SOUGHT.findall(each)]
    assert len(sought) > 100
    assert [f"{part} is in {name}" for name in created for part in sought if part in name and part != name] == []


def test_nothing_names_the_place_where_it_was_written() -> None:
    found = []
    for path in tracked_files():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {word!r}" for word in PRIVATE_WORDS if word in text]

    assert found == []


def test_every_locked_package_has_a_hash() -> None:
    for name in ("requirements.lock", "steps.lock", "build.lock", "dev.lock"):
        entries = (ROOT / name).read_text().replace("\\\n", "").splitlines()

        assert [entry for entry in entries if "==" in entry and "--hash=sha256:" not in entry] == [], name


def test_what_is_declared_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {
        line.split("==")[0].strip() for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line
    }
    declared = {re.split(r"[<>=\[]", dependency)[0].strip() for dependency in project["dependencies"]}

    assert declared - locked == set()
