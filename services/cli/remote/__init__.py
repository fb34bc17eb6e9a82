"""The commands that send requests to a gateway."""
