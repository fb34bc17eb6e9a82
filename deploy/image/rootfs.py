"""Gather the image's whole file system: the interpreter, Dagway, what both load, a shell with its tools.

``python3 rootfs.py /opt/dagway /rootfs`` copies from the machine it runs on, which is the build
stage: any base image with Python and a C library will do. What an attacker could use and Dagway does
not (package managers, compilers, set-uid programs) stays behind, and so does two thirds of the size.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

UID = 10001
TOOLS = """
    basename cat chmod cp cut date dirname echo env expr false find grep head id ls mkdir mktemp mv printf pwd readlink
    rm rmdir sed seq sh sleep sort tail tee test touch tr true uname uniq wc xargs
"""
"""What a shell script cannot do without. The worker's image has more."""
_UNUSED: tuple[str, ...] = (
    "__pycache__",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "dist-packages",
)
_UNUSED += ("test", "tests", "tkinter", "turtledemo", "config-*")
_UNUSED += ("_curses*", "_dbm*", "_gdbm*", "_test*", "_tkinter*", "_xxtest*", "readline*", "xx*")
_UNUSED_OF_PACKAGES: tuple[str, ...] = ("*.pyi", "*.pyx", "*.pxd", "*.c", "*.cpp", "*.h", "*.hpp", "__pycache__")
_UNUSED_OF_PACKAGES += ("mssql", "mysql", "oracle", "orm", "cffi", "pycparser")
"""Sources of what is compiled, SQLAlchemy's words for databases that Dagway does not speak to, and what nothing here
imports: its mapper of objects, and what makes the bindings that argon2 has already."""
_FILES: tuple[str, ...] = (
    "/etc/ld.so.cache",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/etc/protocols",
    "/etc/services",
)
_FILES += ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/openssl.cnf", "/usr/lib/ssl/openssl.cnf")
_ETC = {
    "passwd": f"root:x:0:0:root:/nonexistent:/bin/false\ndagway:x:{UID}:{UID}::/data:/bin/sh\n",
    "group": f"root:x:0:\ndagway:x:{UID}:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


class RootFs:
    """A folder that is going to be a root file system."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for name in ("bin", "sbin", "lib", "lib64"):
            # Where these are links to /usr they must be so here, before anything is put behind them.
            if Path("/", name).is_symlink():
                self._inside(Path("/usr", name)).mkdir(parents=True, exist_ok=True)
                self._inside(Path("/", name)).symlink_to(Path("/", name).readlink())

    def _inside(self, path: Path) -> Path:
        return self._root / path.relative_to("/")

    def add(self, path: Path) -> None:
        """Copy a file to the same place, with every link on the way to it."""
        folder = path.parent.resolve()
        target = self._inside(folder / path.name)
        if target.is_symlink() or target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(path.readlink())
            self.add(folder / path.readlink())
        else:
            shutil.copy2(path, target)
            # No program may gain rights by being started.
            target.chmod(target.stat().st_mode & 0o755)

    def add_tree(self, folder: Path, *unused: str) -> None:
        """Copy a folder to the same place, without what is called ``unused``."""
        target = self._inside(folder)
        shutil.copytree(folder, target, symlinks=True, ignore=shutil.ignore_patterns(*unused), dirs_exist_ok=True)

    def write(self, path: str, text: str) -> None:
        target = self._inside(Path(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def folder(self, path: str, mode: int, owner: int = 0) -> None:
        target = self._inside(Path(path))
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(mode)
        if os.geteuid() == 0:
            os.chown(target, owner, owner)

    def programs(self) -> Iterator[Path]:
        """Yield every program and library that is there."""
        for path in self._root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    if file.read(4) == b"\x7fELF":
                        yield path

    def add_libraries(self) -> None:
        """Copy whatever the programs here load; the libraries that wheels bring along are here already."""
        known: set[str] = set()
        for program in list(self.programs()):
            source = Path("/", program.relative_to(self._root))
            said = subprocess.run(["ldd", str(source)], capture_output=True, text=True, check=False).stdout
            for name in set(re.findall(r"(/\S+) \(0x", said)) - known:
                known.add(name)
                self.add(Path(os.path.normpath(name)))

    def compile(self, *folders: Path) -> None:
        """Write byte code that is bound to its source's content: in one process and order, or it would vary."""
        compileall = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        where = ["-s", str(self._root), "-p", "/", *(str(self._inside(folder)) for folder in folders)]
        subprocess.run([*compileall, *where], env={**os.environ, "PYTHONHASHSEED": "0"}, check=True)

    def settle(self, at_s: int) -> None:
        """Give everything the same time, so that the same sources make the same layer."""
        for path in [*self._root.rglob("*"), self._root]:
            os.utime(path, (at_s, at_s), follow_symlinks=False)


def main(application: Path, root: Path) -> None:
    """Fill ``root`` with what ``application``, a virtual environment, needs to run."""
    made = RootFs(root)
    made.add(Path(sys.executable))
    made.add(Path(os.path.realpath(sys.executable)))
    stdlib = Path(os.__file__).parent
    made.add_tree(stdlib, *_UNUSED)
    made.add_tree(application, *_UNUSED_OF_PACKAGES)
    for tool in TOOLS.split():
        if program := shutil.which(tool, path="/usr/local/bin:/usr/bin:/bin"):
            made.add(Path(program))
    for name in _FILES:
        if Path(name).exists():
            made.add(Path(name))
    # The C library loads it by name when a thread ends.
    for library in Path("/usr/lib").glob("*-linux-gnu*/libgcc_s.so.1"):
        made.add(library)
    made.add_libraries()
    for name, text in _ETC.items():
        made.write(f"/etc/{name}", text)
    made.folder("/tmp", 0o1777)  # noqa: S108 - the image's, not this machine's
    made.folder("/data", 0o750, UID)
    for name in ("proc", "dev", "sys"):
        made.folder(f"/{name}", 0o755)
    made.compile(stdlib, application)
    made.settle(int(os.environ.get("SOURCE_DATE_EPOCH", "0")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
