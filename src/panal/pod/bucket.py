"""The objects of one run in a bucket.

An object appears only when all of its bytes are there, and counts as stored when it was read back with the size and SHA-256 of the file.
The server checks the SHA-256 of what it receives if it can, else the MD5. A large file is sent in parts; a file beside it keeps which parts
the server has, so that a reporter that was killed sends the others only. All methods block, and raise StorageError.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from panal.pod.parts import LIMIT, Upload, algorithm, checksum, forget, part_size, remember, remembered
from panal.pod.service import GoneError, Service, code_of
from panal.pod.storage_errors import StorageError

log = logging.getLogger("panal.reporter")

PIECE = 1 << 20
ATTEMPTS = 3  # to store a file that is not read back as it was sent
NO_CHECKSUMS = frozenset({"NotImplemented", "InvalidRequest", "InvalidArgument", "UnsupportedOperation"})


@dataclass(frozen=True, slots=True)
class Sums:
    size: int
    sha256: str


@dataclass(slots=True)
class Bucket:
    """`base`: what the keys of the run begin with. `work`: a folder for what a restarted reporter needs to know."""

    service: Service
    base: str
    work: Path
    sha256: bool = True  # the server knows this checksum

    # --- the run's files ------------------------------------------------------------------------------------------
    def check(self) -> None:
        """Whether the run's files can be listed and written. It leaves nothing in the bucket, and removes what an earlier Pod of the run
        began to send."""
        key = self._key("metadata.json")
        self.service.ask("list_objects_v2", Prefix=self._key(""), MaxKeys=1)
        begun = self.service.ask("create_multipart_upload", Key=key)
        with suppress(GoneError):
            self.service.ask("abort_multipart_upload", Key=key, UploadId=begun["UploadId"])
        self._remove_unfinished()

    def put(self, name: str, file: Path) -> Sums:
        """Stores `file`."""
        sums = sums_of(file)
        for _ in range(ATTEMPTS):
            self._send(self._key(name), file, sums)
            if self._read_back(name) == sums:
                return sums
            log.warning("%s: what the server returns is not what was sent; sending it again", name)
        service = self.service.address.service
        raise StorageError(f"spec.server.storage.s3.endpoint: {service} returns {name} not as it was sent; check the server's storage")

    def get(self, name: str, target: Path) -> Sums:
        """Raises GoneError as well."""
        with target.open("wb") as file:
            return self._read(name, file.write)

    def names(self, folder: str = "") -> list[str]:
        """The names of the run's objects that begin with `folder`."""
        found: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = self.service.ask("list_objects_v2", Prefix=self._key(folder), **more)
            found += [each["Key"].removeprefix(self._key("")) for each in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, name: str) -> None:
        with suppress(GoneError):
            self.service.ask("delete_object", Key=self._key(name))

    def _key(self, name: str) -> str:
        return f"{self.base}/{name}"

    # --- sending --------------------------------------------------------------------------------------------------
    def _send(self, key: str, file: Path, sums: Sums) -> None:
        if sums.size <= LIMIT:
            body = file.read_bytes()
            self._with_checksums(lambda: self.service.ask("put_object", Key=key, Body=body, **checksum(body, sha256=self.sha256)))
            return
        for _ in range(ATTEMPTS):
            try:
                self._send_parts(key, file, sums)
            except GoneError:
                log.warning("%s: the server has forgotten the upload; beginning again", key)
                forget(self.work, key)
            else:
                return

    def _send_parts(self, key: str, file: Path, sums: Sums) -> None:
        """Raises GoneError if the server does not know the upload any more."""
        upload = self._begun(key, sums) or self._begin(key, sums)
        target = {"Key": key, "UploadId": upload.id}
        with file.open("rb") as source:
            for number in upload.missing(sums.size):
                if self.service.stop.is_set():
                    raise StorageError("the reporter ends")
                source.seek((number - 1) * upload.part_size)
                body = source.read(upload.part_size)
                given = checksum(body, sha256=upload.sha256)
                answer = self.service.ask("upload_part", Body=body, PartNumber=number, **given, **target)
                upload.parts[number] = {"ETag": answer["ETag"], **(given if upload.sha256 else {})}
                remember(self.work, key, upload)
                self.service.touch()
        with suppress(GoneError):  # if it was complete and the answer was lost; reading it back tells
            self.service.ask("complete_multipart_upload", MultipartUpload={"Parts": upload.listed()}, **target)
        forget(self.work, key)

    def _begun(self, key: str, sums: Sums) -> Upload | None:
        """The upload that a failure or a restart interrupted. One of another file is removed."""
        found = remembered(self.work, key)
        if found is None or found.digest == sums.sha256:
            return found
        with suppress(GoneError):
            self.service.ask("abort_multipart_upload", Key=key, UploadId=found.id)
        forget(self.work, key)
        return None

    def _begin(self, key: str, sums: Sums) -> Upload:
        answer = self._with_checksums(
            lambda: self.service.ask("create_multipart_upload", Key=key, **algorithm(sha256=self.sha256)),
        )
        upload = Upload(answer["UploadId"], sums.sha256, part_size(sums.size), self.sha256, {})
        remember(self.work, key, upload)
        return upload

    def _with_checksums(self, call: Callable[[], Any]) -> Any:
        """Repeats the call without SHA-256 if the server does not know it."""
        try:
            return call()
        except StorageError as error:
            if not self.sha256 or code_of(error.__cause__) not in NO_CHECKSUMS:
                raise
        self.sha256 = False
        log.info("%s does not check SHA-256; using MD5", self.service.address.service)
        return call()

    def _remove_unfinished(self) -> None:
        """As far as the server lets us: unfinished uploads cost space, and nothing else."""
        if any(self.work.glob(".upload-*")):
            return  # this Pod's reporter was restarted, and goes on
        client, bucket = self.service.client(), self.service.address.bucket
        with suppress(ClientError, BotoCoreError):
            for each in client.list_multipart_uploads(Bucket=bucket, Prefix=self._key("")).get("Uploads", ()):
                client.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])

    # --- reading --------------------------------------------------------------------------------------------------
    def _read_back(self, name: str) -> Sums | None:
        try:
            return self._read(name, lambda _: None)
        except GoneError:
            return None

    def _read(self, name: str, take: Callable[[bytes], object]) -> Sums:
        """Reads the object, after an interruption from where it was. Raises GoneError."""
        digest, size = hashlib.sha256(), 0
        tag: dict[str, Any] = {}
        client = self.service.client()

        def rest() -> None:
            nonlocal size, tag
            begin = {"Range": f"bytes={size}-"} if size else {}
            found = client.get_object(Bucket=self.service.address.bucket, Key=self._key(name), **begin, **tag)
            tag = {"IfMatch": found["ETag"]}
            for piece in found["Body"].iter_chunks(PIECE):
                take(piece)
                digest.update(piece)
                size += len(piece)
                self.service.touch()

        self.service.retried("GetObject", rest, lambda: size)
        return Sums(size, digest.hexdigest())


def sums_of(file: Path) -> Sums:
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256")
        return Sums(source.tell(), digest.hexdigest())
