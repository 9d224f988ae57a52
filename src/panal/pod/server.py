"""What the servers have in common to which a run is reported: MLflow and an OTLP endpoint."""

from __future__ import annotations

import ssl
from pathlib import Path


class ServerError(Exception):
    """The server cannot be reached, or refuses a request. The message names the field of the run."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


def tls(where: str, authorities: str, bundle: str) -> ssl.SSLContext:
    """Checks certificates against the file `authorities`, or against the public ones. `where` is the field, `bundle` what the file comes
    from. Raises ServerError."""
    if authorities and not Path(authorities).is_file():
        raise ServerError(f"{where}.caBundle: there is no {bundle}")
    try:
        return ssl.create_default_context(cafile=authorities or None)
    except ssl.SSLError as error:
        raise ServerError(f"{where}.caBundle: {bundle} is not a certificate in PEM form") from error
