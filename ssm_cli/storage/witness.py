"""The witness of a data folder: what was acknowledged there, and which entry was denied."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from ssm_cli.errors import StorageDamaged, StorageError
from ssm_cli.private import read_file

TORN_READS = 100
CHECK_BYTES = 16
MOST_BYTES = 4096  # of the file; it takes some hundred
DENIED_CHARS = 32


class Witness(NamedTuple):
    """What was acknowledged.

    Attributes:
        last: the last entry.
        puts: how often cells were put.
        denied: the digest of the entry behind it that was denied, where it may be there; "" for
            none.
    """

    last: int = 0
    puts: int = 0
    denied: str = ""


def testimony(last: int, puts: int, denied: str) -> bytes:
    """Return the bytes of a witness, as many whatever it says.

    >>> said_in(testimony(7, 2, ""), Path("witness"))
    Witness(last=7, puts=2, denied='')
    """
    body = b"%020d %020d %-*s\n" % (last, puts, DENIED_CHARS, denied.encode())
    return checksum(body) + b" " + body


def checksum(body: bytes) -> bytes:
    """Return the checksum of what a witness says."""
    return blake2b(body, digest_size=CHECK_BYTES).hexdigest().encode()


def fingerprint(entry: bytes) -> str:
    """Return the digest of an entry that is denied.

    >>> len(fingerprint(b"entry")) == DENIED_CHARS
    True
    """
    return blake2b(entry, digest_size=DENIED_CHARS // 2).hexdigest()


def of_folder(path: Path) -> Witness | None:
    """Read a witness, which may be written meanwhile; None where there is none."""
    for _ in range(TORN_READS):
        try:
            data = read_file(path, MOST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        if is_whole(data):
            break
    return said_in(data, path)


def is_whole(data: bytes) -> bool:
    """Return whether a witness is one that was written, or empty."""
    said, _, body = data.partition(b" ")
    return not data or said == checksum(body)


def said_in(data: bytes, path: Path) -> Witness:
    """Return what a witness says, nothing if it is empty; raises `StorageDamaged`."""
    if not is_whole(data):
        raise StorageDamaged(
            f"{path} is not what was written; only it tells whether the last entries of the "
            f"journal are there; if you know they are, empty it"
        )
    words = data.decode("ascii").split()[1:] or ["0", "0"]
    return Witness(int(words[0]), int(words[1]), *words[2:3])
