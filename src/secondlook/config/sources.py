"""What `fetch` can download: one model per kind of source, and the files that are on disk afterwards."""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from secondlook.base.yamlfile import Strict
from secondlook.config.datasheet import NOT_STATED

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
SECRET_PARAMETER = re.compile(
    r"key|token|secret|passw|auth|credential|signature|^sig$|^x-amz-|^x-goog-|^expires$|policy", re.IGNORECASE
)
Digest = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$"), AfterValidator(str.lower)]
Folder = Annotated[str, Field(min_length=1), AfterValidator(lambda text: str(PurePosixPath(text)))]
Part = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
FileName = Annotated[str, Field(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*$")]


class UnpackLimits(Strict):
    """What an archive may unpack to; one beyond a limit is refused as a whole."""

    max_gb: float = Field(200.0, gt=0)
    """Maximum size after unpacking, in gigabytes (10^9 bytes)."""
    max_files: int = Field(2_000_000, ge=1)
    """Maximum number of entries in it."""
    max_ratio: float = Field(100.0, ge=1)
    """Maximum size after unpacking, as a multiple of its own size."""


class Place(Strict):
    """What every entry has."""

    to: Folder
    """Folder that the files go to."""
    sha256: Digest | None = None
    """Checksum that the downloaded file must have."""
    unpack: bool = False
    """Unpack the archive into a folder with its name."""
    licence: str = NOT_STATED
    """Licence of what is downloaded, for the datasheet of exports."""

    def file_name(self, name: str) -> str:
        """Return the name of the file that entry `name` downloads."""
        raise NotImplementedError

    def brings(self, name: str) -> str:
        """Return the file or folder that exists once entry `name` is complete."""
        file = self.file_name(name)
        return f"{self.to}/{archive_stem(file) if self.unpack else file}"

    def covers(self, name: str, path: str) -> bool:
        """Tell whether `path` is, or is in, the result of entry `name`."""
        return is_within(path, self.brings(name))


class AddressedPlace(Place):
    """An entry with one address."""

    url: str
    """Address of the file; it may hold no password and no key."""
    file: FileName | None = None
    """Name that the file gets; left out, the last part of the address."""

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
    """A file in an S3 bucket."""

    kind: Literal["s3"]
    """An object or a prefix in S3."""
    signed: bool = False
    """Read with your AWS credentials; without it, no credentials are used."""
    requester_pays: bool = False
    """Agree to pay for the download, which some buckets require; needs `signed`."""
    region: str | None = None
    """AWS region of the bucket."""
    endpoint_url: str | None = None
    """Address of another S3-compatible server."""

    @model_validator(mode="after")
    def _scheme(self) -> "S3Place":
        if not self.url.startswith("s3://"):
            raise ValueError("`url` must begin with `s3://`")
        _require_payer(self)
        return self


class HttpPlace(AddressedPlace):
    """A file at an http or https address."""

    kind: Literal["http"]
    """A file by its address."""

    @model_validator(mode="after")
    def _scheme(self) -> "HttpPlace":
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("`url` must begin with `https://` or `http://`")
        return self


class RoboflowPlace(Place):
    """A version of a Roboflow project in an export format."""

    kind: Literal["roboflow"]
    """A dataset version of Roboflow."""
    workspace: Part
    """Workspace of the project, as in its address."""
    project: Part
    """Project, as in its address."""
    version: int = Field(ge=1)
    """Number of the version."""
    format: Part = "coco"
    """Export format, by Roboflow's name."""
    zip: str | None = None
    """A zip of this version that you already have; it is copied instead of downloaded."""
    api: str = "https://api.roboflow.com"
    """Address of Roboflow's API."""

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
    """Objects365, only the images that have an object of the wanted classes."""

    kind: Literal["objects365"]
    """The archives of Objects365."""
    base: str = Field(min_length=1)
    """Address (http, https, s3) or folder of the dataset."""
    annotations: str = Field(min_length=1)
    """Annotation file, relative to `base`."""
    classes: list[str] = Field(min_length=1)
    """Classes whose images are wanted."""
    patches: str = "patch{number}.tar.gz"
    """Archives of images, relative to `base`; `{number}` stands for their number."""
    signed: bool = False
    """Read an S3 bucket with your AWS credentials."""
    requester_pays: bool = False
    """Agree to pay for the download, which some buckets require; needs `signed`."""
    region: str | None = None
    """AWS region of the bucket."""
    endpoint_url: str | None = None
    """Address of another S3-compatible server."""

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
        """Return the annotation file; the images are in `patch<number>` next to it."""
        return f"{self.to}/{self.file_name(name)}"

    def covers(self, name: str, path: str) -> bool:  # noqa: ARG002
        """Tell whether `path` is in the folder of the dataset."""
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
    """Tell whether `path` is `folder` or in it, by their names."""
    return Path(os.path.normpath(path)).is_relative_to(os.path.normpath(folder))


def marker_path(name: str, place: Place) -> Path:
    """Return the file that exists when entry `name` is complete."""
    return Path(place.to) / f"{name}.fetched.json"
