"""Which claim names the data, and what its value means: what is unsafe or unclear is refused with words for the site's owner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panal.api.names import NO_DATA
from panal.placement import HostPathLocation, PvcLocation, S3Location, data_claim, data_location
from panal.placement.data import announced_volume


def placement(*predicates):
    return {"predicates": [{"requiredClusterSelector": {"claimSelector": {"matchExpressions": list(p)}}} for p in predicates]}


def need(key, operator="Exists"):
    return {"key": key, "operator": operator}


@pytest.mark.parametrize(
    ("spec", "explicit", "claim"),
    [
        (placement([need("a")]), "", "a"),
        (placement([need("a")]), "b", "b"),
        (placement([need("a")]), "None", NO_DATA),
        ({}, "None", NO_DATA),
        (placement([need("a"), need("b")], [need("c"), need("d", "DoesNotExist")]), "", "c"),
        (placement([need("a", "In")]), "", ""),
        (placement([need("a")], []), "", "a"),
        ({}, "", ""),
        ({"predicates": [{}, {"requiredClusterSelector": {"labelSelector": {"matchExpressions": [need("a")]}}}]}, "", ""),
    ],
)
def test_the_claim_given_wins_else_the_last_one_that_must_exist(spec, explicit, claim):
    assert data_claim(spec, explicit) == claim


@pytest.mark.parametrize(
    ("value", "location"),
    [
        ("pvc://mnist", PvcLocation("mnist", "")),
        ("pvc://mnist/", PvcLocation("mnist", "")),
        ("pvc://mnist/train/2024", PvcLocation("mnist", "train/2024")),
        ("pvc://my.data-1/a b/", PvcLocation("my.data-1", "a b")),
        ("/data/private/cluster1", HostPathLocation("/data/private/cluster1")),
        ("/data/", HostPathLocation("/data")),
        ("/data/..hidden", HostPathLocation("/data/..hidden")),
        ("pvc://mnist/train#500Gi", PvcLocation("mnist", "train")),
        ("/data#1.5T", HostPathLocation("/data")),
        ("s3://digits?endpoint=https://192.0.2.9#5Ti", S3Location("s3://digits", "https://192.0.2.9", "192.0.2.9", 443, "", "")),
    ],
)
def test_locations(value, location):
    assert data_location(value) == location


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "neither a claim, nor a bucket, nor an absolute path"),
        ("1", "neither a claim, nor a bucket, nor an absolute path"),
        ("data/mnist", "neither a claim, nor a bucket, nor an absolute path"),
        ("PVC://mnist", "neither a claim, nor a bucket, nor an absolute path"),
        ("gs://bucket/data", "neither a claim, nor a bucket, nor an absolute path"),
        ("s3://bucket/data", "the endpoint is not a URL"),
        ("s3://Bucket/data?endpoint=https://192.0.2.9", '"Bucket" cannot be the name of a bucket'),
        ("s3:///data?endpoint=https://192.0.2.9", '"" cannot be the name of a bucket'),
        ("s3://bucket/../data?endpoint=https://192.0.2.9", '".."'),
        ("s3://bucket/data?endpoint=https://minio.example.com", "minio.example.com is not an IP address"),
        ("s3://bucket/data?endpoint=https://minio.example.com&address=hub", "hub is not an IP address"),
        ("s3://bucket/data?endpoint=https://192.0.2.9/path", "the endpoint is not a URL of only a scheme"),
        ("s3://bucket/data?endpoint=https://user:pw@192.0.2.9", "the endpoint is not a URL of only a scheme"),
        ("s3://bucket/data?endpoint=ftp://192.0.2.9", "the endpoint is not a URL of only a scheme"),
        ("s3://bucket/data?endpoint=https://192.0.2.9:99999", "cannot be read"),
        ("s3://bucket/data?endpoint=https://192.0.2.9:0", "the endpoint is not a URL of only a scheme"),
        ("s3://bucket/data?endpoint=https://min_io.example.com&address=192.0.2.9", "the endpoint is not a URL of only a scheme"),
        ("s3://bucket/data?endpoint=https://localhost&address=192.0.2.9", "the endpoint is not a URL of only a scheme"),
        ("s3://bucket/data?endpoint=http://169.254.169.254", "169.254.169.254 is not the address of another host"),
        ("s3://bucket/data?endpoint=http://127.0.0.1:9000", "127.0.0.1 is not the address of another host"),
        ("s3://bucket/data?endpoint=http://0.0.0.0:9000", "0.0.0.0 is not the address of another host"),
        ("s3://bucket/data?endpoint=http://m.example.com&address=fe80::1%25eth0", "is not the address of another host"),
        ("s3://bucket/data?endpoint=https://192.0.2.9&endpoint=https://192.0.2.8", "each once"),
        ("s3://bucket/data?endpoint=https://192.0.2.9&key=secret", "may have endpoint, address and region"),
        ("s3://bucket/data?endpoint=https://192.0.2.9&region=EU%20west", '"EU west" cannot be the name of a region'),
        ("s3://bucket/data?nothing", "cannot be read"),
        ("/", "the whole file system"),
        ("//", "the whole file system"),
        ("/data/../etc", '".."'),
        ("/..", '".."'),
        ("/data//x", "an empty part"),
        ("/data/./x", '"."'),
        ("/data\n", "unprintable"),
        ("/data\0", "unprintable"),
        ("/data:rw", '":"'),
        ("/data#", '"" is no volume of data; write a quantity such as 500Gi after "#"'),
        ("/data#much", '"much" is no volume of data'),
        ("/data#5Gi#6Gi", '"5Gi#6Gi" is no volume of data'),
        ("/#5Gi", "the whole file system"),
        ("data#5Gi", "nor an absolute path"),
        ("pvc://", "names no claim"),
        ("pvc:///data", "names no claim"),
        ("pvc://Mnist", '"Mnist" cannot be the name'),
        ("pvc://a..b", '"a..b" cannot be the name'),
        ("pvc://../x", '".." cannot be the name'),
        ("pvc://mnist/../../etc", '".."'),
        ("pvc://mnist//x", "an empty part"),
        (f"pvc://{'a' * 254}", "cannot be the name"),
    ],
)
def test_what_is_unsafe_or_unclear_is_refused(value, words):
    with pytest.raises(ValueError) as refused:
        data_location(value)
    assert words in str(refused.value)


@given(st.text(alphabet="abp/.:cv \n-", max_size=30))
def test_whatever_is_accepted_stays_below_its_root(value):
    try:
        location = data_location(value)
    except ValueError:
        return
    assert not isinstance(location, S3Location)
    path = location.sub_path if isinstance(location, PvcLocation) else location.path.removeprefix("/")
    assert not path.startswith("/")
    assert path == "" or not {"", ".", ".."} & set(path.split("/"))


@pytest.mark.parametrize(
    ("value", "location"),
    [
        (
            "s3://digits?endpoint=https://192.0.2.9",
            S3Location("s3://digits", "https://192.0.2.9", "192.0.2.9", 443, "", ""),
        ),
        (
            "s3://digits/train/2026?endpoint=http://192.0.2.9:9000&region=eu-west-1",
            S3Location("s3://digits/train/2026", "http://192.0.2.9:9000", "192.0.2.9", 9000, "", "eu-west-1"),
        ),
        (
            "s3://digits/a?endpoint=https://minio.example.com:9000&address=192.0.2.9",
            S3Location("s3://digits/a", "https://minio.example.com:9000", "192.0.2.9", 9000, "minio.example.com", ""),
        ),
        (
            "s3://digits/a?endpoint=https://[fd00::9]:9000",
            S3Location("s3://digits/a", "https://[fd00::9]:9000", "fd00::9", 9000, "", ""),
        ),
    ],
)
def test_a_bucket_is_announced_with_its_endpoint(value, location):
    assert data_location(value) == location


@pytest.mark.parametrize(
    ("value", "volume"),
    [
        ("pvc://a", None),
        ("pvc://a#500Gi", 500 * 2**30),
        ("/data#1.5T", 1_500_000_000_000),
        ("/data#7", 7),
        ("eu#5", None),
        ("/data#x", None),
    ],
)
def test_the_volume_that_is_announced(value, volume):
    assert announced_volume(value) == volume
