"""Starts the parts of the local platform as processes and keeps them running."""
