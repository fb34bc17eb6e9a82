"""Which script a page loads: all modules of the front end in one file, or the modules themselves.

``editor/build.mjs`` bundles the modules where npm is installed, and names the bundle by the digest of its sources. So a
bundle that is older than its sources is never served: the page then loads the modules one by one. Only the standard
library is used, since the build of a wheel imports this too.
"""

import hashlib
from pathlib import Path

__all__ = ["bundle_name", "page_script"]


def page_script(web: Path) -> str:
    """Return the path of the script below the folder ``web``."""
    bundle = f"built/{bundle_name(web)}"
    return bundle if (web / bundle).is_file() else "main.js"


def bundle_name(web: Path) -> str:
    """Return the name that the bundle of the present modules has."""
    modules = [f"{folder}{path.name}" for folder in ("", "views/") for path in (web / folder).glob("*.js")]
    digest = hashlib.sha256()
    for name in sorted(modules):
        digest.update(f"{name}\0".encode() + (web / name).read_bytes())
    return f"page.{digest.hexdigest()[:12]}.js"
