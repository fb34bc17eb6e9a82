"""The messages between the services.

Every message travels in an ``Envelope``. Services of two consecutive versions must understand each other's messages,
and readers ignore unknown fields. So add only fields with defaults, never rename a field, and never narrow its type.
"""
