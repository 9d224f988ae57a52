"""What the errors of buckets are told as: field, what is wrong, what to do. The codes are those of Amazon S3, MinIO, Ceph and versitygw."""

from __future__ import annotations

import pytest

from panal.pod.storage_errors import (
    FIELD,
    Address,
    Answer,
    no_authorities,
    no_credentials,
    refused,
    unreachable,
    untrusted,
)

HERE = Address("models", endpoint="https://s3.example.com", secret="models-s3", bundle="key ca.crt of ConfigMap s3-ca")
CASES: list[tuple[str, int, str, str, bool]] = [
    # operation, status, code; the beginning of the message; whether it may pass
    ("PutObject", 404, "NoSuchBucket", "bucketName: there is no bucket models at https://s3.example.com; create it", False),
    ("HeadBucket", 404, "404", "bucketName: there is no bucket models", False),
    ("PutObject", 400, "InvalidBucketName", "bucketName: there is no bucket models", False),
    (
        "PutObject",
        403,
        "AccessDenied",
        "secretName: the credentials in Secret models-s3 may not use bucket models; allow s3:ListBucket",
        False,
    ),
    ("HeadBucket", 403, "403", "secretName: the credentials in Secret models-s3 may not use bucket models", False),
    ("PutObject", 403, "SignatureDoesNotMatch", "secretName: https://s3.example.com does not accept the credentials in Secret", False),
    ("PutObject", 403, "InvalidAccessKeyId", "secretName: https://s3.example.com does not accept", False),
    ("PutObject", 400, "ExpiredToken", "secretName: https://s3.example.com does not accept", False),
    ("PutObject", 301, "PermanentRedirect", "region: bucket models is not in region us-east-1; set the bucket's region", False),
    ("PutObject", 400, "AuthorizationHeaderMalformed", "region: bucket models is not in region us-east-1", False),
    ("PutObject", 403, "RequestTimeTooSkewed", "endpoint: the clock of the aggregator's node differs", False),
    ("PutObject", 400, "KeyTooLongError", "prefix: the names of the run's files become too long", False),
    ("PutObject", 409, "ObjectParentIsFile", "prefix: an object in the bucket has the name of a folder", False),
    ("PutObject", 400, "XMinioParentIsObject", "prefix: an object in the bucket has the name of a folder", False),
    ("PutObject", 507, "XMinioStorageFull", "bucketName: bucket models at https://s3.example.com has no space left; free some", True),
    ("PutObject", 403, "QuotaExceeded", "bucketName: bucket models at https://s3.example.com has no space left", True),
    ("PutObject", 503, "SlowDown", "endpoint: https://s3.example.com: PutObject answers SlowDown", True),
    ("PutObject", 503, "503", "endpoint: https://s3.example.com: PutObject answers 503", True),
    ("PutObject", 500, "InternalError", "endpoint: https://s3.example.com: PutObject answers InternalError", True),
    ("PutObject", 400, "RequestTimeout", "endpoint: https://s3.example.com: PutObject answers RequestTimeout", True),
    ("PutObject", 400, "BadDigest", "endpoint: https://s3.example.com: PutObject answers BadDigest", True),
    ("PutObject", 429, "TooManyRequests", "endpoint: https://s3.example.com: PutObject answers TooManyRequests", True),
    ("PutObject", 501, "NotImplemented", "endpoint: https://s3.example.com: PutObject answers NotImplemented", False),
    ("PutObject", 400, "MalformedXML", "endpoint: https://s3.example.com: PutObject answers MalformedXML", False),
]


@pytest.mark.parametrize(("operation", "status", "code", "words", "passing"), CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES])
def test_an_answer_is_told_by_its_field(operation: str, status: int, code: str, words: str, passing: bool) -> None:
    found = refused(Answer(operation, status, code), HERE)
    assert found.message.startswith(f"{FIELD}{words}")
    assert code in found.message
    assert found.passing == passing


def test_the_bucket_s_region_is_told_where_the_server_names_it() -> None:
    assert "; it is in eu-west-1; set" in refused(Answer("PutObject", 301, "PermanentRedirect", region="eu-west-1"), HERE).message


def test_a_server_s_words_are_shortened_and_shown() -> None:
    found = refused(Answer("PutObject", 503, "SlowDown", "\x1b[31mred" + "x" * 5000), HERE).message
    assert "\\x1b[31mred" in found
    assert len(found) < 400


def test_without_a_secret_it_is_the_identity_of_the_pod() -> None:
    amazon = Address("models")
    assert "the Pod's own identity may not use bucket models" in refused(Answer("PutObject", 403, "AccessDenied"), amazon).message
    assert "the cloud gives the Pod no identity; name a Secret" in no_credentials(amazon).message
    assert "Secret models-s3 has no AWS_ACCESS_KEY_ID" in no_credentials(HERE).message
    assert unreachable("timed out", amazon).message == f"{FIELD}endpoint: Amazon S3 cannot be reached: timed out"


def test_what_is_trusted_is_named() -> None:
    assert "it is checked against key ca.crt of ConfigMap s3-ca: give" in untrusted("unknown issuer", HERE).message
    assert "it is checked against the public authorities" in untrusted("unknown issuer", Address("models")).message
    assert no_authorities(HERE).message.startswith(f"{FIELD}caBundle: there is no key ca.crt of ConfigMap s3-ca")
