"""Bundle the web pages and their editor of workflow files, if npm is installed: ``python -m scripts.build_editor``.

``editor/`` has the sources of the editor and the lock file of its packages, ``web/built/`` gets the bundles.
Without npm, or without a registry that has the packages, the pages use a plain text field and load their modules one by
one. Only the standard library is used, since the build of a wheel runs this too.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from services.api.ui.page_script import bundle_name

__all__ = ["BUNDLE", "build_editor"]

ROOT = Path(__file__).parents[1]
EDITOR = ROOT / "editor"
WEB = ROOT / "services" / "api" / "web"
BUNDLE = WEB / "built" / "editor.js"
_TIMEOUT_S = 300
_LIMITS = {
    "npm_config_fetch_retries": "1",
    "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_timeout": "10000",
}
"""Without a network npm alone would try for a minute, or for five behind a firewall that drops packets."""


def build_editor() -> bool:
    """Build the bundles if their sources are newer, and return whether there is an editor. Says why if it cannot."""
    if not EDITOR.is_dir():  # in the image, where another stage builds it
        return BUNDLE.exists()
    lock = EDITOR / "package-lock.json"
    sources = [lock, EDITOR / "build.mjs", *(EDITOR / "src").glob("*.js")]
    if _is_newer(BUNDLE, sources) and (BUNDLE.parent / bundle_name(WEB)).exists():
        return True
    environment = _LIMITS | os.environ
    npm = shutil.which("npm")
    if npm is None:
        return _without("npm is not installed")
    installed = _is_newer(EDITOR / "node_modules" / ".package-lock.json", [lock])
    for argv in ([] if installed else [[npm, "ci"]]) + [[npm, "run", "--silent", "build"]]:
        try:
            done = subprocess.run(
                argv, cwd=EDITOR, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env=environment
            )
        except subprocess.TimeoutExpired:
            return _without(f"{' '.join(argv[1:])} took longer than {_TIMEOUT_S} s")
        if done.returncode:
            return _without(f"npm {' '.join(argv[1:])} failed: {_last_words(done.stderr)}")
    return True


def _without(reason: str) -> bool:
    if not BUNDLE.exists():
        result = "get a plain editor"
    elif (BUNDLE.parent / bundle_name(WEB)).exists():
        result = "keep an earlier editor"
    else:
        result = "load their modules one by one"
    sys.stderr.write(f"The web pages {result}: {reason} (`make setup` tries again)\n")
    return BUNDLE.exists()


def _is_newer(made: Path, sources: list[Path]) -> bool:
    return made.exists() and made.stat().st_mtime >= max(each.stat().st_mtime for each in sources)


def _last_words(text: str) -> str:
    """Return the line that says what npm, or the build, failed at."""
    lines = [line.removeprefix("npm error ").strip() for line in text.splitlines()]
    said = [line for line in lines if "failed" in line or "rror:" in line or "timeout" in line]
    return (said or [line for line in lines if line] or ["it says nothing"])[0]


if __name__ == "__main__":
    build_editor()
