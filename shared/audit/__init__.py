"""The audit log's hash chain: its canonical form and its verification. Pure."""
