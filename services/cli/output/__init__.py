"""How commands print: tables, runs as trees, and JSON. Pure, but for ``terminal``."""
