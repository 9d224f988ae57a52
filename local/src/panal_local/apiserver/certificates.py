"""What a CertificateSigningRequest may not be, and what may not become of it: said in the real server's words."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from panal_local.apiserver.errors import DUPLICATE, FORBIDDEN, INVALID, REQUIRED, UNSUPPORTED, Cause

Object = dict[str, Any]
Causes = Iterator[Cause]
KIND = "CertificateSigningRequest"
USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only",
    "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement",
    "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping",
)  # fmt: skip
JUDGEMENTS = ("Approved", "Denied")
FINAL = (*JUDGEMENTS, "Failed")
SHORTEST = 600  # seconds
BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'example.com', regex used for validation is"
    r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def check(csr: Object, old: Object | None) -> Causes:
    yield from _spec(csr["spec"])
    status = csr.get("status") or {}
    yield from _conditions(status.get("conditions") or [])
    if problem := _certificate_problem(status.get("certificate") or ""):
        yield Cause(INVALID, f'Invalid value: "<certificate data>": {problem}', "status.certificate")
    if old is not None:
        yield from _change(csr, old)


def conditions_of(csr: Object) -> list[Object]:
    """Those that are of the right shape: what is not is found later."""
    status = csr.get("status")
    found = status.get("conditions") if isinstance(status, dict) else None
    return [c for c in found if isinstance(c, dict)] if isinstance(found, list) else []


def judged(csr: Object, old: Object) -> Object:
    """The status that the subresource `approval` makes: it changes what is approved or denied, and nothing else."""
    if not isinstance(csr.get("status") or {}, dict) or conditions_of(csr) != ((csr.get("status") or {}).get("conditions") or []):
        return dict(csr)
    mine = [c for c in conditions_of(csr) if c.get("type") in JUDGEMENTS]
    rest = [c for c in conditions_of(old) if c.get("type") not in JUDGEMENTS]
    status = {**(old.get("status") or {}), "conditions": [*rest, *mine]}
    return {**old, "status": {key: value for key, value in status.items() if value}}


def judged_elsewhere(csr: Object, old: Object) -> Causes:
    """Of a write to the status: who approves and denies does so at the subresource for that."""
    for type_ in JUDGEMENTS:
        if _count(csr, type_) > _count(old, type_):
            yield Cause(FORBIDDEN, f'Forbidden: updates may not add a condition of type "{type_}"', "status.conditions")


def _spec(spec: Object) -> Causes:
    request, usages = str(spec.get("request", "")), spec.get("usages") or []
    if problem := _request_problem(request):
        yield Cause(INVALID, f"Invalid value: {json.dumps(request)}: {problem}", "spec.request")
    if not usages:
        yield Cause(REQUIRED, "Required value", "spec.usages")
    for i, usage in enumerate(usages):
        if usage not in USAGES:
            known = ", ".join(json.dumps(u) for u in USAGES)
            yield Cause(UNSUPPORTED, f"Unsupported value: {json.dumps(usage)}: supported values: {known}", f"spec.usages[{i}]")
        if usage in usages[:i]:
            yield Cause(DUPLICATE, f"Duplicate value: {json.dumps(usage)}", f"spec.usages[{i}]")
    yield from _signer(str(spec.get("signerName", "")))
    if isinstance(seconds := spec.get("expirationSeconds"), int) and seconds < SHORTEST:
        text = f"Invalid value: {seconds}: may not specify a duration less than {SHORTEST} seconds (10 minutes)"
        yield Cause(INVALID, text, "spec.expirationSeconds")


def _signer(name: str) -> Causes:
    domain, slash, path = name.partition("/")
    if not name:
        yield Cause(REQUIRED, "Required value", "spec.signerName")
    elif not slash or "/" in path:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield Cause(INVALID, f"Invalid value: {json.dumps(name)}: {text}", "spec.signerName")
    else:
        for part in [*domain.split("."), *path.split(".")]:
            if not LABEL.fullmatch(part):
                text = f'Invalid value: {json.dumps(part)}: validating label "{part}": {LABEL_WORDS}'
                yield Cause(INVALID, text, "spec.signerName")


def _request_problem(coded: str) -> str:
    found = BLOCK.search(_decoded(coded))
    if not found or found[1] != "CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        csr = x509.load_pem_x509_csr(found[0].encode())
        return "" if csr.is_signature_valid else "x509: signature is not valid"
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        return f"the request cannot be read: {error}"


def _certificate_problem(coded: str) -> str:
    if not coded:
        return ""
    blocks = list(BLOCK.finditer(_decoded(coded)))
    for block in blocks:
        if block[1] != "CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{block[1]}"'
        try:
            x509.load_pem_x509_certificate(block[0].encode())
        except ValueError as error:
            return f"the certificate cannot be read: {error}"
    return "" if blocks else "must contain at least one CERTIFICATE PEM block"


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


def _conditions(conditions: list[Object]) -> Causes:
    for i, condition in enumerate(conditions):
        here, type_, status = f"status.conditions[{i}]", condition.get("type", ""), condition.get("status", "")
        allowed = ("True",) if type_ in FINAL else ("True", "False", "Unknown")
        before = [c.get("type") for c in conditions[:i]]
        if not type_:
            yield Cause(REQUIRED, "Required value", f"{here}.type")
        if not status:
            yield Cause(REQUIRED, "Required value", f"{here}.status")
        elif status not in allowed:
            known = ", ".join(json.dumps(a) for a in sorted(allowed))
            yield Cause(UNSUPPORTED, f"Unsupported value: {json.dumps(status)}: supported values: {known}", f"{here}.status")
        if type_ in JUDGEMENTS and set(before) & set(JUDGEMENTS) - {type_}:
            text = f"Invalid value: {json.dumps(type_)}: Approved and Denied conditions are mutually exclusive"
            yield Cause(INVALID, text, "status.conditions")
        if type_ in before:
            yield Cause(DUPLICATE, f"Duplicate value: {json.dumps(type_)}", f"{here}.type")


def _change(csr: Object, old: Object) -> Causes:
    for type_ in FINAL:
        if _count(csr, type_) < _count(old, type_):
            yield Cause(FORBIDDEN, f'Forbidden: updates may not remove a condition of type "{type_}"', "status.conditions")
    before = (old.get("status") or {}).get("certificate")
    if before and (csr.get("status") or {}).get("certificate") != before:
        yield Cause(FORBIDDEN, "Forbidden: updates may not modify existing certificate content", "status.certificate")


def _count(csr: Object, type_: str) -> int:
    return sum(c.get("type") == type_ for c in conditions_of(csr))
