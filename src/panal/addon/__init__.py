"""The add-on fl-collaborator and the certificate authorities: all decisions, as pure functions."""
