"""What `fetch` can bring: one model per kind of place, and what lies on disk once it is brought."""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from secondlook.base.yamlfile import Strict

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
SECRET_PARAMETER = re.compile(
    r"key|token|secret|passw|auth|credential|signature|^sig$|^x-amz-|^x-goog-|^expires$|policy", re.IGNORECASE
)
Digest = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$"), AfterValidator(str.lower)]
Folder = Annotated[str, Field(min_length=1), AfterValidator(lambda text: str(PurePosixPath(text)))]
Part = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
FileName = Annotated[str, Field(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*$")]


class UnpackLimits(Strict):
    """What an archive may hold; one that holds more is refused whole."""

    max_gb: float = Field(200.0, gt=0)
    max_files: int = Field(2_000_000, ge=1)
    max_ratio: float = Field(100.0, ge=1)


class Place(Strict):
    """What every entry has: where its files go, what they must be, and whether an archive is unpacked."""

    to: Folder
    sha256: Digest | None = None
    unpack: bool = False

    def file_name(self, name: str) -> str:
        """Return the name of the file that entry `name` brings."""
        raise NotImplementedError

    def brings(self, name: str) -> str:
        """Return the file or folder that is there once entry `name` is brought."""
        file = self.file_name(name)
        return f"{self.to}/{archive_stem(file) if self.unpack else file}"

    def covers(self, name: str, path: str) -> bool:
        """Tell whether `path` is, or lies in, what entry `name` brings."""
        return is_within(path, self.brings(name))


class AddressedPlace(Place):
    """An entry with one address; `file` is the name that its file gets, when it is not the last part of the address."""

    url: str
    file: FileName | None = None

    @model_validator(mode="after")
    def _names_a_file_without_a_key(self) -> "AddressedPlace":
        # after the whole model: a complaint about `url` itself would print the address with its key
        parts = urlsplit(self.url)
        if parts.password is not None:
            raise ValueError("`url` holds a password, and files keep no secrets; put it into ~/.netrc")
        if any(SECRET_PARAMETER.search(key) for key, _ in parse_qsl(parts.query, keep_blank_values=True)):
            raise ValueError("`url` holds a key, and files keep no secrets; give it to `secondlook fetch --url`")
        if not parts.netloc or not self.file_name(""):
            raise ValueError("`url` must name a host or bucket and a file")
        return self

    def file_name(self, name: str) -> str:  # noqa: ARG002
        """Return the last part of the address."""
        return self.file or url_file_name(self.url)


class S3Place(AddressedPlace):
    """A file in an S3 bucket, `s3://bucket/key`; read without credentials unless `signed`.

    Of some buckets the reader pays for what is read: `signed` and `requester_pays` say that you will.
    """

    kind: Literal["s3"]
    signed: bool = False
    requester_pays: bool = False
    region: str | None = None
    endpoint_url: str | None = None

    @model_validator(mode="after")
    def _scheme(self) -> "S3Place":
        if not self.url.startswith("s3://"):
            raise ValueError("`url` must begin with `s3://`")
        _require_payer(self)
        return self


class HttpPlace(AddressedPlace):
    """A file behind an http or https address."""

    kind: Literal["http"]

    @model_validator(mode="after")
    def _scheme(self) -> "HttpPlace":
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("`url` must begin with `https://` or `http://`")
        return self


class RoboflowPlace(Place):
    """A version of a Roboflow project in an export format, or the zip of it that is already here."""

    kind: Literal["roboflow"]
    workspace: Part
    project: Part
    version: int = Field(ge=1)
    format: Part = "coco"
    zip: str | None = None
    api: str = "https://api.roboflow.com"

    @field_validator("api")
    @classmethod
    def _encrypted(cls, api: str) -> str:
        parts = urlsplit(api)
        if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise ValueError("must begin with `https://`, for the key travels there")
        return api.rstrip("/")

    def file_name(self, name: str) -> str:
        """Return the name of the zip, which is that of the entry."""
        return f"{name}.zip"


class Objects365Place(Place):
    """Objects365 from an address (http, https, s3) or a folder: the images of the wanted classes only."""

    kind: Literal["objects365"]
    base: str = Field(min_length=1)
    annotations: str = Field(min_length=1)
    classes: list[str] = Field(min_length=1)
    patches: str = "patch{number}.tar.gz"
    signed: bool = False
    requester_pays: bool = False
    region: str | None = None
    endpoint_url: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Objects365Place":
        if "{number}" not in self.patches:
            raise ValueError("`patches` must hold `{number}`, for example `patch{number}.tar.gz`")
        parts = urlsplit(self.base)
        if parts.password is not None or parts.query:
            raise ValueError("`base` must hold no password and no `?`: files keep no secrets")
        if not self.unpack and "unpack" in self.model_fields_set:
            raise ValueError("`unpack: false`: the wanted images always leave their archives; remove the key")
        _require_payer(self)
        return self

    def file_name(self, name: str) -> str:  # noqa: ARG002
        """Return the name that the annotation file gets, whatever it is called at its source."""
        return "annotations.json"

    def brings(self, name: str) -> str:
        """Return the annotation file; the images lie in `patch<number>` beside it."""
        return f"{self.to}/{self.file_name(name)}"

    def covers(self, name: str, path: str) -> bool:  # noqa: ARG002
        """Tell whether `path` lies in the folder of the data set."""
        return is_within(path, self.to)


def _require_payer(place: S3Place | Objects365Place) -> None:
    if place.requester_pays and not place.signed:
        raise ValueError("`requester_pays` needs `signed: true`: somebody has to pay")


FetchPlace = Annotated[S3Place | HttpPlace | RoboflowPlace | Objects365Place, Field(discriminator="kind")]


def archive_stem(file_name: str) -> str:
    """Return the name of the folder into which an archive is unpacked."""
    for ending in sorted(ARCHIVES, key=len, reverse=True):
        if file_name.lower().endswith(ending) and len(file_name) > len(ending):
            return file_name[: -len(ending)]
    return f"{file_name}.unpacked"


def s3_bucket_and_key(url: str) -> tuple[str, str]:
    """Return what `s3://bucket/key` names; `#` and `?` are letters of a key like any other."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, unquote(key.lstrip("/"))


def url_file_name(url: str) -> str:
    """Return the last part of the path of an address, empty when it cannot be the name of a file."""
    path = s3_bucket_and_key(url)[1] if url.startswith("s3://") else unquote(urlsplit(url).path)
    name = path.rpartition("/")[2]
    return "" if name in {".", ".."} or "\0" in name or "/" in name else name


def is_within(path: str, folder: str) -> bool:
    """Tell whether `path` is `folder` or lies in it, by their names."""
    return Path(os.path.normpath(path)).is_relative_to(os.path.normpath(folder))


def marker_path(name: str, place: Place) -> Path:
    """Return the file that stands when entry `name` is complete."""
    return Path(place.to) / f"{name}.fetched.json"
