"""What a scheduler does by itself: one thread each, every one on all schedulers at once, without a leader."""
