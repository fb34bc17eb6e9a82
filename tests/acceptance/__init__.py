"""The language's acceptance table, run through the real engine on both footings."""
