"""A plain Flower app for tests: it knows nothing of panal."""
