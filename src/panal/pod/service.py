"""Requests to a service that is compatible with S3.

What may pass, such as 503 or a broken connection, is tried again until `patience` is over; `report` gets the reason meanwhile, and an empty
text when it is over. Everything else is a StorageError, which names the field of the run.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore import exceptions as failures
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from botocore.session import Session

from panal.pod.storage_errors import Address, Answer, Problem, StorageError, no_authorities, no_credentials, refused, unreachable, untrusted

log = logging.getLogger("panal.reporter")

PATIENCE = 1800.0  # seconds that a file waits for a server that does not answer as it should
LONGEST_PAUSE = 15.0
CONNECT, ANSWER = 20, 120  # seconds of a connection's silence
GONE = frozenset({"NoSuchUpload", "NoSuchKey", "404"})
FAILURES = (ClientError, BotoCoreError, ResponseParserError)
PASSING = (
    failures.ConnectionError,
    failures.HTTPClientError,
    failures.IncompleteReadError,
    failures.CredentialRetrievalError,
    failures.MetadataRetrievalError,
    ResponseParserError,
)
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class GoneError(Exception):
    """There is no such object or upload."""


def connected(address: Address, env: Mapping[str, str]) -> Any:
    """A client of the library. The credentials of a Secret are in `env`; the Pod's identity is what the library finds. Raises
    StorageError."""
    if address.authorities and not Path(address.authorities).is_file():
        raise StorageError(no_authorities(address).message)
    key, secret, token = (env.get(name) for name in SECRETS)
    if address.secret and not (key and secret):
        raise StorageError(no_credentials(address).message)
    given = {"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": token} if address.secret else {}
    config = Config(
        s3={"addressing_style": "path" if address.path_style else "virtual"},
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=CONNECT,
        read_timeout=ANSWER,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = Session()
    for settings in ("config_file", "credentials_file"):  # could name a program, and the Pod's identity is none of them
        session.set_config_variable(settings, os.devnull)
    try:
        return session.create_client(
            "s3",
            region_name=address.region,
            endpoint_url=address.endpoint or None,
            verify=address.authorities or True,
            config=config,
            **given,
        )
    except (BotoCoreError, ValueError) as error:
        raise StorageError(unreachable(str(error), address).message) from error


@dataclass(slots=True)
class Service:
    """`connect` makes the client. `touch` is called whenever there is progress, and while a request is tried again."""

    address: Address
    connect: Callable[[], Any]
    touch: Callable[[], None] = lambda: None
    report: Callable[[str], None] = lambda _: None
    stop: threading.Event = field(default_factory=threading.Event)
    patience: float = PATIENCE
    until: float = math.inf  # a time of the monotonic clock that ends every patience
    _client: Any = None

    def client(self) -> Any:
        if self._client is None:
            self._client = self.connect()
        return self._client

    def ask(self, operation: str, **params: Any) -> Any:
        """The answer to an operation of the library on the bucket, such as put_object. Raises GoneError and StorageError."""
        call = getattr(self.client(), operation)
        named = "".join(word.capitalize() for word in operation.split("_"))
        return self.retried(named, lambda: call(Bucket=self.address.bucket, **params))

    def retried(self, operation: str, call: Callable[[], Any], progress: Callable[[], int] = lambda: 0) -> Any:
        """The result of `call`. The patience begins again whenever there was `progress`."""
        end, pause, before = time.monotonic() + self.patience, 1.0, progress()
        while True:
            try:
                found = call()
            except FAILURES as error:
                if code_of(error) in GONE and operation != "ListObjectsV2":
                    raise GoneError(code_of(error)) from error
                if progress() != before:
                    end, pause, before = time.monotonic() + self.patience, 1.0, progress()
                self._wait(self._problem(operation, error), error, min(pause, LONGEST_PAUSE), end)
                pause *= 2
            else:
                self.report("")
                return found

    def _wait(self, problem: Problem, cause: Exception, pause: float, end: float) -> None:
        """Until it is time to try again. Raises StorageError if that is of no use."""
        if not problem.passing or time.monotonic() + pause > min(end, self.until) or self.stop.is_set():
            raise StorageError(problem.message) from cause
        log.warning("%s; trying again", problem.message)
        self.report(f"{problem.message}; trying again")
        self.touch()
        self.stop.wait(pause)

    def _problem(self, operation: str, error: Exception) -> Problem:
        if isinstance(error, ClientError):
            return refused(_answer(operation, error), self.address)
        if isinstance(error, failures.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            return untrusted(_cause(error), self.address)
        if isinstance(error, failures.NoCredentialsError | failures.PartialCredentialsError):
            return no_credentials(self.address)
        return unreachable(_cause(error), self.address, passing=isinstance(error, PASSING))


def code_of(error: BaseException | None) -> str:
    """The server's code; empty if the error is not its answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _answer(operation: str, error: ClientError) -> Answer:
    said, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    region = said.get("Region") or meta.get("HTTPHeaders", {}).get("x-amz-bucket-region", "")
    return Answer(operation, int(meta.get("HTTPStatusCode", 0)), code_of(error), str(said.get("Message", "")), str(region))


def _cause(error: Exception) -> str:
    """In the words of the library below: those around them name the URL."""
    inner = error.kwargs.get("error") if isinstance(error, BotoCoreError) else None
    return str(inner or error)
