"""The schema's history, oldest first in ``versions``: forwards only, the way back is a backup.

A new revision is a module there with ``revision``, ``down_revision`` and ``upgrade``; it spells out
what it changes and imports nothing of ours, so that it means the same for ever. ``HEAD`` in
``shared.store.migrate`` names the last.
"""
