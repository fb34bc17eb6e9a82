"""Code of at least two services: contracts, the workflow language, and the interfaces to broker and store.

Nothing here imports a service. ``contracts``, ``language`` and the small leaf modules are pure;
``transport`` and ``store`` are the only packages that reach outside the process.
"""
