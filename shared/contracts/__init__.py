"""The messages the services exchange, versioned and frozen.

Every message travels in an ``Envelope``. Readers ignore fields they do not know, so that version N
and N-1 understand each other: add fields with defaults, never rename, never narrow.
"""
