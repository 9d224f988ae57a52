"""The RunRecord: the resource by which the hub tells a site what the record of a run is, and by which the site answers.

Its spec is the entry of the hub's ledger, signed by the hub. The site answers in the status, once: with a receipt, or why it gives none.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from panal.api.schema import Model
from panal.evidence.receipt import ENTRY, LONGEST, RECORD, entry_holds
from panal.evidence.sealed import read_key
from panal.site.known import Known

SHA256 = r"^[0-9a-f]{64}$"
SIGNATURE = r"^[A-Za-z0-9+/]{86}==$"
PRINTED = r"^[!-~]{1,63}$"
PEM = r"^-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]{1,150}-----END PUBLIC KEY-----\n$"
MOST_RECORDS = 4  # of one run: a hub whose run has more of them is not answered, and does not fill the ledger

Hash = Annotated[str, StringConstraints(min_length=64, max_length=64, pattern=SHA256)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=PRINTED)]
Signature = Annotated[str, StringConstraints(max_length=88, pattern=SIGNATURE)]
Key = Annotated[str, StringConstraints(max_length=250, pattern=PEM)]


class Refusal(StrEnum):
    """Why a site gives no receipt."""

    RUN_NOT_KNOWN = "RunNotKnown"  # it never asked here
    NOT_SIGNED = "RecordNotSigned"  # the signature of the hub does not hold
    TOO_MANY = "TooManyRecords"
    UNDISCLOSED = "Undisclosed"  # any of them, if the owner discloses nothing


class RunRecordSpec(Model):
    namespace: Name = Field(description="The namespace of the run on the hub.")
    name: Name = Field(description="The run.")
    uid: Name = Field(description="Its uid.")
    record: Hash = Field(description="The SHA-256 of the run's record, as canonical JSON.")
    time: Name = Field(description="When the hub made the record.")
    number: int = Field(ge=1, le=2**53, description="The number of the record's entry in the hub's ledger.")
    previous: Hash = Field(description="The hash of the entry before it.")
    hash: Hash = Field(description="The hash of the entry.")
    signature: Signature = Field(description="The hub's signature (Ed25519, base64) of the hash.")
    key: Key = Field(description="The hub's public key, PEM.")

    @property
    def run(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def entry(self) -> dict[str, Any]:
        """As in the hub's ledger."""
        return {"kind": RECORD, **self.model_dump(exclude={"key"})}

    def about(self) -> dict[str, Any]:
        """What the site's ledger has of it. The number and the previous hash are those of the hub."""
        said = {name: value for name, value in self.entry.items() if name in ENTRY and name not in ("kind", "namespace", "name")}
        hub = {"number": said.pop("number"), "previous": said.pop("previous"), "signature": self.signature, "key": self.key}
        return {"run": self.run, "uid": said["uid"], "record": said["record"], "recorded": said["time"], "hub": hub}


class RunRecordStatus(Model):
    receipt: str = Field(default="", max_length=LONGEST, description="What the site says about the run, as canonical JSON.")
    signature: str = Field(default="", max_length=88, description="The signature (Ed25519, base64) of the receipt's SHA-256.")
    key: str = Field(default="", max_length=250, description="The public key of the site's ledger, PEM.")
    refusal: str = Field(default="", max_length=63, description="Why the site gives no receipt, as a code.")


def refusal(spec: RunRecordSpec, known: Known | None) -> Refusal | None:
    """Why there is no receipt. `known`: what the ledger says about the run."""
    if known is None or known.run != spec.run:
        return Refusal.RUN_NOT_KNOWN
    if not signed_by_the_hub(spec):
        return Refusal.NOT_SIGNED
    if spec.record not in known.records and len(known.records) >= MOST_RECORDS:
        return Refusal.TOO_MANY
    return None


def signed_by_the_hub(spec: RunRecordSpec) -> bool:
    try:
        return entry_holds(spec.entry, read_key(spec.key))
    except ValueError:
        return False
