"""The systems that are measured, as real processes, and the turns that they take."""
