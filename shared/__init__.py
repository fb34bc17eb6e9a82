"""Code that at least two services use: contracts, the workflow language, and the interfaces to broker and store.

Nothing here imports a service. ``contracts``, ``language`` and ``admission`` are pure: they do no I/O. ``transport``
talks to the broker and ``store`` to the database.
"""
