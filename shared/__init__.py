"""What at least two services need: contracts, the workflow language, and the seams to broker and store.

Nothing here imports a service. ``contracts``, ``spec`` and the small leaf modules are pure;
``transport`` and ``store`` are the only packages that reach outside the process.
"""
