"""Tells a Kubernetes cluster which workers are idle, so that a scale-in ends those first (ADR 65).

``costs`` decides and is pure; ``cluster_api`` and ``held_attempts`` ask; ``deletion_costs`` does it again and again.
"""
