"""Checks of a database against the guarantees: read-only, in one snapshot, on a live or a stopped system."""
