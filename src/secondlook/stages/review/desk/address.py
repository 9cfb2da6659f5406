"""The secret address of the desk, which stays the same after a restart, so that open pages go on."""

import json
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import files

NAME = "desk.json"


@dataclass(frozen=True)
class Address:
    """The secret of the address, and the port at which the desk was last, 0 for none."""

    token: str
    port: int


def read_address(folder: Path) -> Address:
    """Return the address that is kept in a folder of decisions, a new one where there is none."""
    try:
        told = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if re.fullmatch(r"[\w-]{20,}", told["token"], re.ASCII) and 0 <= told["port"] < 1 << 16:
            return Address(told["token"], told["port"])
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or not whole
        pass
    return Address(secrets.token_urlsafe(16), 0)


def keep_address(folder: Path, address: Address) -> None:
    """Keep an address where only this user can read it; say so where the disk refuses."""
    try:
        with files.atomic_path(folder / NAME) as temporary:
            temporary.chmod(0o600)
            temporary.write_text(json.dumps(asdict(address)), encoding="utf-8")
    except DataError as error:
        progress.say(f"review: {error} The address will be another one after a restart.")
