"""The add-on fl-collaborator and the authorities behind it: every decision, as pure functions."""
