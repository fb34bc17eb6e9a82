"""The order of an archive step: its config, read and checked. Imported by the archive executor's child."""

from pathlib import Path, PurePosixPath
from typing import Any

from .entry_names import matches
from .limits import UNLIMITED, Budget, Limits
from .stream_formats import CONTAINERS, SINGLE, ArchiveError, Exit, kind_of

__all__ = ["Order"]

_ENDINGS = (
    (".tar.gz", "tar.gz"), (".tgz", "tar.gz"), (".tar.bz2", "tar.bz2"), (".tbz2", "tar.bz2"), (".tar.xz", "tar.xz"),
    (".txz", "tar.xz"), (".tar.zst", "tar.zst"), (".tzst", "tar.zst"), (".tar", "tar"), (".zip", "zip"), (".gz", "gz"),
    (".bz2", "bz2"), (".xz", "xz"), (".zst", "zst"), (".lz4", "lz4"), (".7z", "7z"), (".rar", "rar"),
)  # fmt: skip


class Order:
    """The order from the executor: the step's config, with the default of each option."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.operation: str = raw["operation"]
        self.source = Path(raw["source"])
        self.destination = Path(raw["destination"]) if raw.get("destination") else None
        # The result shows the paths as the step's config has them.
        self.written: dict[str, str] = raw["written"]
        self.level = self._number("compressionLevel", -1)
        self.password: str = str(raw.get("password") or "")
        self.bsdtar: str = raw.get("bsdtar") or ""
        self.strip = self._number("stripComponents", 0)
        self._limits = Limits(
            max_bytes=self._number("maxBytes", 10 << 30),
            max_entries=self._number("maxEntries", 200_000),
            max_ratio=self._number("maxRatio", 250),
        )
        self.include, self.exclude = (
            [value] if isinstance(value := raw.get(name) or [], str) else list(value) for name in ("include", "exclude")
        )

    def _number(self, name: str, default: int) -> int:
        try:
            return int(self.raw.get(name, default))
        except (TypeError, ValueError) as error:
            raise ArchiveError(Exit.CONFIG, f"{name} must be a whole number, not {self.raw[name]!r}") from error

    def budget(self, path: Path) -> Budget:
        """Return what one pass over the archive at ``path`` may read. The step's own new archive has no limits."""
        limits = UNLIMITED if self.operation == "create" else self._limits
        return Budget(limits, path.stat().st_size)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.raw.get(name, default)
        return value if isinstance(value, bool) else str(value).lower() == "true"

    def format(self, path: Path) -> str:
        """Return the archive's format: ``format`` of the config, else by the file's name, else by its first bytes."""
        found = str(self.raw.get("format") or "")
        found = found or next((name for ending, name in _ENDINGS if path.name.lower().endswith(ending)), "")
        if not found and self.operation != "create":
            found = kind_of(path)
        if found not in CONTAINERS | SINGLE:
            raise ArchiveError(
                Exit.FORMAT, f"unsupported archive format: {found or path.name}: set format to a supported one"
            )
        return found

    def wanted(self, name: str) -> bool:
        """Whether ``include`` and ``exclude`` admit a member."""

        def hit(patterns: list[str]) -> bool:
            return any(matches(one, name) for one in patterns)

        return (not self.include or hit(self.include)) and not hit(self.exclude)

    def placed(self, name: str) -> str:
        """Return the path to extract a member to, relative to the destination; empty if it is not to be extracted."""
        parts = PurePosixPath(name).parts
        if name.startswith(("/", "\\")) or ".." in parts or "\0" in name:
            raise ArchiveError(Exit.EXTRACT, f"refused member {name!r}: it would be extracted outside the destination")
        parts = parts[self.strip :]
        if parts and not self.flag("preservePaths", True):
            parts = parts[-1:]
        return "/".join(parts)
