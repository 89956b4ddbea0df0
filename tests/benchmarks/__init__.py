"""The benchmark: the same rows behind several frameworks, measured in turn. ``make bench`` runs it."""
