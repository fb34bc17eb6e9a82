"""Reads the YAML of Dagu 2: rewrites a document of that generation into the fields of this language.

The facts are from the public documentation of Dagu 2 (its schema and migration guides and its specifications).
docs/dagu-2.md has the table of what becomes what.
"""
