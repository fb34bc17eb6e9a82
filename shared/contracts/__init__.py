"""The messages between the services, versioned and frozen.

Every message travels in an ``Envelope``. Readers ignore unknown fields, so that versions N and N-1 understand
each other: add fields with defaults, never rename a field, never narrow its type.
"""
