"""Bundle the editor of workflow files for the web pages, if npm is installed: ``python -m scripts.build_editor``.

``editor/`` has its sources and the lock file of its packages, ``services/api/web/built/`` gets the bundle. Without npm,
or without a registry that has the packages, the pages use a plain text field. Only the standard library is used, since
the build of a wheel runs this too.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["BUNDLE", "build_editor"]

ROOT = Path(__file__).parents[1]
EDITOR = ROOT / "editor"
BUNDLE = ROOT / "services" / "api" / "web" / "built" / "editor.js"
_TIMEOUT_S = 300
_LIMITS = {
    "npm_config_fetch_retries": "1",
    "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_timeout": "10000",
}
"""Without a network npm alone would try for a minute, or for five behind a firewall that drops packets."""


def build_editor() -> bool:
    """Build the bundle if its sources are newer, and return whether there is one. Says why if there is none."""
    if not EDITOR.is_dir():  # in the image, where another stage builds it
        return BUNDLE.exists()
    sources = [EDITOR / "package-lock.json", EDITOR / "build.mjs", *(EDITOR / "src").glob("*.js")]
    if BUNDLE.exists() and BUNDLE.stat().st_mtime >= max(each.stat().st_mtime for each in sources):
        return True
    environment = _LIMITS | os.environ
    npm = shutil.which("npm")
    if npm is None:
        return _without("npm is not installed")
    for argv in ([npm, "ci"], [npm, "run", "--silent", "build"]):
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
    sys.stderr.write(f"The web pages get a plain editor: {reason} (`make setup` tries again)\n")
    return BUNDLE.exists()


def _last_words(text: str) -> str:
    """Return the line that says what npm, or the build, failed at."""
    lines = [line.removeprefix("npm error ").strip() for line in text.splitlines()]
    said = [line for line in lines if "failed" in line or "rror:" in line or "timeout" in line]
    return (said or [line for line in lines if line] or ["it says nothing"])[0]


if __name__ == "__main__":
    build_editor()
