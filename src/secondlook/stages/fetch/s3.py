"""Files in S3 buckets: ranged GETs of one version, checked against the ETag where that is a checksum."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.base.errors import DataError
from secondlook.config.sources import Objects365Place, S3Place, s3_bucket_and_key
from secondlook.io.net import PASSING, TemporaryError, retry_after_s
from secondlook.stages.fetch.transfer import CHUNK_BYTES, HASH_BYTES, ChangedError, Response

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MISSING_CODES = {"NoSuchKey", "NoSuchBucket", "NotFound", "404"}
ELSEWHERE_CODES = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
REASONS = {
    "InvalidObjectState": "it lies in an archive (Glacier); have it restored first: `aws s3api restore-object`",
    "RequestTimeTooSkewed": "the clock of this machine is wrong by more than 15 minutes; set it",
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
        "your credentials are not accepted; renew them, or read without: `signed: false`",
    ),
}
PASSING_CODES = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling"}


@dataclass(frozen=True)
class Access:
    """Where a bucket is and how to read it; without `endpoint_url`, that of AWS or of the environment."""

    timeout_s: float
    signed: bool = False
    region: str | None = None
    endpoint_url: str | None = None
    requester_pays: bool = False

    @classmethod
    def of(cls, place: S3Place | Objects365Place, timeout_s: float) -> "Access":
        """Return the access that an entry of the config describes."""
        return cls(timeout_s, place.signed, place.region, place.endpoint_url, place.requester_pays)


class S3Source:
    """A file in an S3 bucket."""

    def __init__(self, url: str, access: Access) -> None:
        self._bucket, self._key = s3_bucket_and_key(url)
        self._access = access
        self._encryption: str | None = None
        self.label = self.identity = f"s3://{self._bucket}/{self._key}"

    @contextmanager
    def open(self, start: int, version: str | None) -> Iterator[Response]:
        """Request the bytes from `start`, if the file is still `version`."""
        wanted = {"Range": f"bytes={start}-", "IfMatch": version} if start and version else {}
        response = self._ask("get_object", **wanted)
        self._encryption = response.get("ServerSideEncryption", "AES256")
        try:
            yield _answer(response)
        finally:
            response["Body"].close()

    def disagreement(self, path: Path, version: str | None) -> str | None:
        """Compare a file with its ETag: MD5 of the file, or of the MD5s of its parts; other ETags are ignored."""
        etag = (version or "").strip('"')
        parts = re.fullmatch(r"([0-9a-f]{32})-(\d+)", etag)
        if parts is None and not re.fullmatch(r"[0-9a-f]{32}", etag):
            return None
        part_bytes = self._part_bytes(path.stat().st_size, int(parts[2])) if parts else None
        if parts and part_bytes is None:
            return None
        if self._encryption is None:
            self._encryption = self._head().get("ServerSideEncryption", "AES256")
        if self._encryption != "AES256":
            return None  # encrypted with a customer key: then the ETag is not an MD5
        actual = etag_of(path, part_bytes)
        return None if actual == etag else f"its MD5 is {actual}, not that of its ETag ({etag})"

    def _part_bytes(self, size: int, parts: int) -> int | None:
        """Return the size of the parts in which a file was uploaded, None when it cannot be known."""
        length = int(self._head(PartNumber=1).get("ContentLength", 0))
        return length if length and -(-size // length) == parts else None

    def _head(self, **wanted: Any) -> Any:
        try:
            return self._ask("head_object", **wanted)
        except DataError:
            return {}  # some buckets allow GET but not HEAD

    def _ask(self, what: str, **wanted: Any) -> Any:
        import botocore.exceptions

        payer = {"RequestPayer": "requester"} if self._access.requester_pays else {}
        try:
            return getattr(client(self._access), what)(Bucket=self._bucket, Key=self._key, **payer, **wanted)
        except botocore.exceptions.ClientError as error:
            raise self._refused(error.response) from None
        except botocore.exceptions.NoCredentialsError:
            raise DataError(
                f"{self.label}: `signed: true` needs credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY."
            ) from None
        except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError):
            raise TemporaryError("no connection to the server") from None
        except botocore.exceptions.BotoCoreError as error:
            raise DataError(f"{self.label}: the request could not be made ({type(error).__name__}).") from None

    def _refused(self, response: Any) -> Exception:
        code = str(response.get("Error", {}).get("Code", ""))
        meta = response.get("ResponseMetadata", {})
        status = int(meta.get("HTTPStatusCode", 0))
        if status in PASSING or code in PASSING_CODES:
            wait_s = retry_after_s(meta.get("HTTPHeaders", {}).get("retry-after"))
            return TemporaryError(f"the server answered {status or code}", wait_s)
        if status in {412, 416}:
            return ChangedError("the file changed on the server")
        return DataError(f"{self.label}: {self._why(code, status, response)}.")

    def _why(self, code: str, status: int, response: Any) -> str:
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = response.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")
        there = f"`region: {region}`" if region else "`region`"
        if code in REASONS:
            return REASONS[code]
        if code in MISSING_CODES or status == 404:
            return "there is no such file or bucket; check the address"
        if code in ELSEWHERE_CODES or status in {301, 307}:
            return f"the bucket is in another region; set {there}"
        if status == 403:
            own = "check the rights of these credentials" if self._access.signed else "set `signed: true` to use yours"
            paid = "" if self._access.requester_pays else ", and `requester_pays: true` where the reader pays"
            own_region = client(self._access).meta.region_name
            elsewhere = f", and {there}, where it is" if region not in {None, own_region} else ""
            return f"the bucket forbids reading it, or has no such file; {own}{paid}{elsewhere}"
        return f"the server refused it (status {status}, {code})"


def client(access: Access) -> "S3Client":
    """Return a client that tries once: `transfer` does the retries."""
    import boto3
    import botocore
    from botocore.config import Config

    config = Config(
        connect_timeout=access.timeout_s,
        read_timeout=access.timeout_s,
        retries={"total_max_attempts": 1, "mode": "standard"},
        response_checksum_validation="when_required",
        **({} if access.signed else {"signature_version": botocore.UNSIGNED}),
    )
    session = boto3.session.Session()
    place = access.region or session.region_name or "us-east-1"
    return session.client("s3", region_name=place, endpoint_url=access.endpoint_url, config=config)


def etag_of(path: Path, part_bytes: int | None) -> str:
    """Return the ETag that S3 gives a file uploaded in parts of `part_bytes`, or in one piece (None)."""
    with path.open("rb") as file:
        if part_bytes is None:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        digests = []
        while (digest := _part_digest(file, part_bytes)) is not None:
            digests.append(digest)
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def _part_digest(file: Any, part_bytes: int) -> bytes | None:
    digest, left = hashlib.md5(usedforsecurity=False), part_bytes
    while left and (chunk := file.read(min(left, HASH_BYTES))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.digest() if left < part_bytes else None


def _answer(response: Any) -> Response:
    start, size = 0, int(response["ContentLength"])
    if "ContentRange" in response:
        parts = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response["ContentRange"])
        if parts is None:
            raise ChangedError("the server does not say which bytes it sends")
        start, size = int(parts[1]), int(parts[2])
    return Response(start, size, response.get("ETag"), _chunks(response["Body"]))


def _chunks(body: Any) -> Iterator[bytes]:
    import botocore.exceptions
    import urllib3

    try:
        while chunk := body.read(CHUNK_BYTES):
            yield chunk
    except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError, OSError):
        raise TemporaryError("the connection broke off") from None
