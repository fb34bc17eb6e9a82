"""YAML texts that a reader must refuse, and a part of the problem that it must report."""

__all__ = ["ALIAS_BOMB", "HOSTILE_YAML"]

HOSTILE_YAML = [
    ("a: 1\na: 2", 'line 2, column 1: duplicate key "a" (it is already set on line 1)'),
    ("schedule: */5 * * * *", "line 1, column 11: invalid YAML: while scanning an alias"),
    ("schedule: */5 * * * *", 'quote the cron expression: "*/5 * * * *"'),
    ("schedule: * * * * *", "quote the cron expression"),
    ("schedule: @daily", "quote the cron expression"),
    ("a: `date`", "put the text in quotes"),
    ("a:\n\tb: 1", "line 2, column 1: invalid YAML: "),
    ("a:\n\tb: 1", "indent with spaces, not tabs"),
    ("a: b: c", 'put text that contains ": " in quotes'),
    ("a: [${X}, b]", "put text that contains braces or brackets in quotes"),
    ("a: *nope", 'unknown alias "*nope"'),
    ("a: &x [*x]", 'unknown alias "*x"'),
    ("? [a]\n: 1", "a mapping key must be plain text"),
    ("a: !!int x", 'unsupported YAML tag "!!int"'),
    ("a: \1", "control characters are not allowed"),
    ("a: \0", "control characters are not allowed"),
    ('a: "\\0"', "text must not contain a NUL character"),
    ("a: \ud800", "invalid YAML"),
    ("<<: 5", "the value of << must be a map"),
    ("x" * 1_048_577, "larger than 1048576 bytes"),
    ("é" * 600_000, "larger than 1048576 bytes"),
    ("---\na: 1\n" * 201, "line 401, column 1: a file may have at most 200 documents"),
    ("---\n" * 300, "line 201, column 1: a file may have at most 200 documents"),
    (
        "".join(f"%TAG !{n:x}! a\n" for n in range(101)) + "---\n",
        "line 101, column 1: a file may have at most 100 %TAG directives",
    ),
    ("[" * 500, "nested deeper than 64 levels"),
    ("- " * 500, "nested deeper than 64 levels"),
]

ALIAS_BOMB = "\n".join(
    [
        'a0: &a0 ["x", "x", "x", "x", "x", "x", "x", "x", "x", "x"]',
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)),
    ]
)
"""Twelve short lines that mean a million million values."""
