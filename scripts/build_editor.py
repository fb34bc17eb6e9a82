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


def build_editor() -> bool:
    """Build the bundle if its sources are newer, and return whether there is one. Says why if there is none."""
    if not EDITOR.is_dir():  # in the image, where another stage builds it
        return BUNDLE.exists()
    sources = [EDITOR / "package-lock.json", EDITOR / "build.mjs", *(EDITOR / "src").glob("*.js")]
    if BUNDLE.exists() and BUNDLE.stat().st_mtime >= max(each.stat().st_mtime for each in sources):
        return True
    npm = shutil.which("npm")
    if npm is None:
        return _without("npm is not installed")
    for argv in ([npm, "ci"], [npm, "run", "--silent", "build"]):
        try:
            done = subprocess.run(
                argv, cwd=EDITOR, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env=dict(os.environ)
            )
        except subprocess.TimeoutExpired:
            return _without(f"{' '.join(argv[1:])} took longer than {_TIMEOUT_S} s")
        if done.returncode:
            return _without(f"npm {' '.join(argv[1:])} failed:\n{done.stderr[-1000:]}")
    return True


def _without(reason: str) -> bool:
    sys.stderr.write(f"The web pages get a plain editor: {reason}\n")
    return BUNDLE.exists()


if __name__ == "__main__":
    build_editor()
