"""Names of the form `POOL:KEY`: a child of a pool, or the partition that a key belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from zlib import crc32

from ssm_cli.behaviour.reasons import shape
from ssm_cli.behaviour.sizes import whole_text

KEYS = (str, int, bool, bytes, type(None))
JOINT = ":"
MOST_JOINTS = 100  # colons, or slashes, at which a name is tried to be cut


def partition(pool: str, key: object) -> str:
    """Return the name of the partition that a key belongs to, for `call`, `cast` and effects.

    Equal keys of these types give the same name in each process and on each computer: text as it
    is, numbers, booleans, None and tuples of such as Python writes them, bytes in hexadecimal.

    Raises:
        TypeError: the key is of another type, whose hash or text need not be the same elsewhere.

    >>> partition("carts", "ann"), partition("carts", 7), partition("carts", ("eu", 7))
    ('carts:ann', 'carts:7', "carts:('eu', 7)")
    """
    return f"{pool}:{text_of_key(key)}"


def text_of_key(key: object) -> str:
    """Return the text that stands for a key."""
    if type(key) is str:
        return key
    if type(key) is bytes:
        return key.hex()
    if type(key) is tuple:
        parts = (repr(part) if type(part) is str else text_of_key(part) for part in key)
        return f"({', '.join(parts)})"
    if type(key) is int:
        return whole_text(key)
    if type(key) in KEYS:
        return str(key)
    raise TypeError(
        f"{shape(key)} is no key of a partition: expected str, int, bool, bytes, None "
        f"or a tuple of these"
    )


def splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to read a name as `POOL:KEY`, the shortest pool first.

    Keys of partitions may hold colons, and so may the names of pools that a template has made.

    >>> [*splits("carts:eu:ann")], [*splits("kv2")]
    ([('carts', 'eu:ann'), ('carts:eu', 'ann')], [])
    """
    joints = (at for at, letter in enumerate(name) if letter == JOINT)
    for at in islice(joints, MOST_JOINTS):
        yield name[:at], name[at + 1 :]


def number_of(key: str, count: int) -> int:
    """Return which of so many partitions, from 0, a key belongs to; the same everywhere.

    >>> number_of("ann", 8)
    3
    """
    return crc32(key.encode("utf-8", "surrogatepass")) % count


def pool_child(pool: str, label: str) -> str:
    """Return the name of the child of a pool that has a label.

    >>> pool_child("carts", "ann")
    'carts:ann'
    """
    return f"{pool}{JOINT}{label}"


def label_of(name: str) -> str:
    """Return the name that a worker's own callbacks get: in a pool its label, else its name.

    >>> label_of("carts:ann"), label_of("carts:ann/log"), label_of("kv2")
    ('ann', 'ann/log', 'kv2')
    """
    return name.rpartition(JOINT)[2] if JOINT in name else name
