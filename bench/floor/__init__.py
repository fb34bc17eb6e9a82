"""Engines and servers without features, to compare Dagway with: what is left when everything else is taken away."""
