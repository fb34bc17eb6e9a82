"""Build the image's root file system: the interpreter, Dagway, their libraries, and a shell with its tools.

``python3 rootfs.py /opt/dagway /rootfs`` copies from the machine that it runs on, the build stage: any base image with
Python and a C library. It leaves out what Dagway does not need and an attacker could use (package managers, compilers,
set-uid programs), and with it two thirds of the size.
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
"""Programs that shell scripts need. The worker image has more."""
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
"""Sources of compiled modules, SQLAlchemy's dialects of other databases, and what Dagway does not import: SQLAlchemy's
ORM and the build tools of argon2's bindings."""
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
    """A folder that becomes a root file system."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for name in ("bin", "sbin", "lib", "lib64"):
            # If these are links to /usr, create the links before any file below them.
            if Path("/", name).is_symlink():
                self._inside(Path("/usr", name)).mkdir(parents=True, exist_ok=True)
                self._inside(Path("/", name)).symlink_to(Path("/", name).readlink())

    def _inside(self, path: Path) -> Path:
        return self._root / path.relative_to("/")

    def add(self, path: Path) -> None:
        """Copy a file to the same path, with every symbolic link on that path."""
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
            # Without set-uid and set-gid bits.
            target.chmod(target.stat().st_mode & 0o755)

    def add_tree(self, folder: Path, *unused: str) -> None:
        """Copy a folder to the same path, without files whose names match ``unused``."""
        target = self._inside(folder)
        shutil.copytree(folder, target, symlinks=True, ignore=shutil.ignore_patterns(*unused), dirs_exist_ok=True)

    def write(self, path: str, text: str) -> None:
        target = self._inside(Path(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def link(self, path: str, target: Path) -> None:
        link = self._inside(Path(path))
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def folder(self, path: str, mode: int, owner: int = 0) -> None:
        target = self._inside(Path(path))
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(mode)
        if os.geteuid() == 0:
            os.chown(target, owner, owner)

    def programs(self) -> Iterator[Path]:
        """Yield every program and library (ELF file) in the folder."""
        for path in self._root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    if file.read(4) == b"\x7fELF":
                        yield path

    def add_libraries(self) -> None:
        """Copy the libraries that the programs load. The wheels' own libraries are already there."""
        known: set[str] = set()
        for program in list(self.programs()):
            source = Path("/", program.relative_to(self._root))
            listing = subprocess.run(["ldd", str(source)], capture_output=True, text=True, check=False).stdout
            for name in set(re.findall(r"(/\S+) \(0x", listing)) - known:
                known.add(name)
                self.add(Path(os.path.normpath(name)))

    def compile(self, *folders: Path) -> None:
        """Write hash-based byte code. One process writes it in one order, so that it is reproducible."""
        compileall = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        where = ["-s", str(self._root), "-p", "/", *(str(self._inside(folder)) for folder in folders)]
        subprocess.run([*compileall, *where], env={**os.environ, "PYTHONHASHSEED": "0"}, check=True)

    def set_times(self, at_s: int) -> None:
        """Set the time of every file, so that the same sources give the same layer."""
        for path in [*self._root.rglob("*"), self._root]:
            os.utime(path, (at_s, at_s), follow_symlinks=False)


def main(application: Path, root: Path) -> None:
    """Fill ``root`` with all that the virtual environment ``application`` needs to run."""
    rootfs = RootFs(root)
    rootfs.add(Path(sys.executable))
    rootfs.add(Path(os.path.realpath(sys.executable)))
    stdlib = Path(os.__file__).parent
    rootfs.add_tree(stdlib, *_UNUSED)
    rootfs.add_tree(application, *_UNUSED_OF_PACKAGES)
    for tool in TOOLS.split():
        if program := shutil.which(tool, path="/usr/local/bin:/usr/bin:/bin"):
            rootfs.add(Path(program))
    for name in _FILES:
        if Path(name).exists():
            rootfs.add(Path(name))
    # The C library loads it by name when a thread ends, so ldd does not list it.
    for library in Path("/usr/lib").glob("*-linux-gnu*/libgcc_s.so.1"):
        rootfs.add(library)
    rootfs.add_libraries()
    for name, text in _ETC.items():
        rootfs.write(f"/etc/{name}", text)
    # Without them a command such as ``date`` takes every time zone for UTC. They came with Dagway, for Python.
    rootfs.link("/usr/share/zoneinfo", next(application.glob("lib/python*/site-packages/tzdata/zoneinfo")))
    rootfs.folder("/tmp", 0o1777)  # noqa: S108 - the image's, not this machine's
    rootfs.folder("/data", 0o711, UID)
    for name in ("proc", "dev", "sys"):
        rootfs.folder(f"/{name}", 0o755)
    rootfs.compile(stdlib, application)
    rootfs.set_times(int(os.environ.get("SOURCE_DATE_EPOCH", "0")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
