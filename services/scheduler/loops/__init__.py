"""The background loops of a scheduler, one thread each. All schedulers run all loops at the same time; no leader."""
