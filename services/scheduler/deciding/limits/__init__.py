"""Limits that one transaction checks: quotas of workspaces, reserved worker pools, places in pools."""
