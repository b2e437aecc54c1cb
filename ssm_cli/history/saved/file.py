"""The file of a saved past: a head that says what it is, a checksum, and a compressed body.

bytes 0 to 7     "ssm past"
bytes 8, 9       the format, big-endian
bytes 10 to 17   how long the body is, compressed
bytes 18 to 49   BLAKE2b of all that is before and behind these 32 bytes
from byte 50     the body: MessagePack, compressed by zlib
"""

from __future__ import annotations

import os
import stat
import zlib
from hashlib import blake2b
from pathlib import Path

from ssm_cli.errors import CommandError, StorageDamaged, StorageError
from ssm_cli.private import write_private

MAGIC = b"ssm past"
FORMAT = 1
HEAD = len(MAGIC) + 2 + 8
SUM = 32
MOST_BYTES = 64 * 1024 * 1024  # of a body before it is compressed, and of a file


def sealed_body(body: bytes) -> bytes:
    """Return the bytes of a file with this body.

    >>> body_of(sealed_body(b"body"), "x.past")
    b'body'
    """
    packed = zlib.compress(body, 6)
    head = MAGIC + FORMAT.to_bytes(2, "big") + len(packed).to_bytes(8, "big")
    return head + blake2b(head + packed, digest_size=SUM).digest() + packed


def body_of(data: bytes, where: str) -> bytes:
    """Return the body in the bytes of a file.

    Raises:
        StorageDamaged: they are not what was written.
        StorageError: they are of a newer format, or too many.
    """
    if not data.startswith(MAGIC):
        raise StorageError(f"{where} is no saved past: expected a file that `save FILE` has made")
    if len(data) < HEAD + SUM:
        raise StorageDamaged(f"{where} is cut off after {len(data)} bytes; copy it again")
    number = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 2], "big")
    head, found, packed = data[:HEAD], data[HEAD : HEAD + SUM], data[HEAD + SUM :]
    length = int.from_bytes(head[-8:], "big")
    if blake2b(head + packed, digest_size=SUM).digest() != found:
        if len(packed) < length < MOST_BYTES:
            raise StorageDamaged(
                f"{where} is cut off: {len(data)} of {HEAD + SUM + length} bytes; copy it again"
            )
        raise StorageDamaged(f"{where} is damaged: its checksum is another; copy it again")
    if number != FORMAT:
        raise StorageError(
            f"{where} is of format {number}, and this ssm reads format {FORMAT}; "
            f"open it with the version that made it"
        )
    unpack = zlib.decompressobj()
    body = unpack.decompress(packed, MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise StorageError(f"{where} holds more than {MOST_BYTES >> 20} MiB")
    return body


def read_past(path: Path) -> bytes:
    """Return the bytes of a file that somebody else may have made.

    Raises:
        CommandError: there is none, it is no regular file, or larger than `MOST_BYTES`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise CommandError(f"cannot open {path}: {error.strerror}") from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise CommandError(f"{path} is no file; expected one that `save FILE` has made")
        if facts.st_size > MOST_BYTES:
            raise CommandError(
                f"{path} has {facts.st_size:,} bytes; a saved past has {MOST_BYTES:,} at most"
            )
        return os.read(descriptor, MOST_BYTES + 1)
    finally:
        os.close(descriptor)


def write_past(path: Path, data: bytes) -> None:
    """Write a whole file that only its owner can read; what was there stays until it is complete.

    Raises:
        StorageError: it cannot be written, or stands for what is no file; nothing is left of it.
    """
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} is no file; give the name of one to be written")
    try:
        write_private(path, data)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
