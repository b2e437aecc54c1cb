"""Parcels: a body that is larger than a message of the servers goes in parts, and is made whole.

Each part is a message of its own to the same subject, so the servers keep their order. Only the
last one has a place for an answer: an owner that heard some of the parts alone does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from ssm_cli.errors import is_number

PART = "Ssm-Part"  # the header of a part: `NAME NUMBER COUNT`, numbered from 1
HEADERS_BYTES = 4096  # of a message, left for its headers
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_JOINING_BYTES = 4 * MAX_BODY_BYTES  # of incomplete bodies; the oldest go

Part = tuple[dict[str, str] | None, bytes]


def parcels_of(name: str, body: bytes, most_bytes: int) -> Iterator[Part]:
    """Yield the headers and bytes of each message that a body takes; no headers for one alone.

    >>> list(parcels_of("a", b"12345", 4))
    [({'Ssm-Part': 'a 1 2'}, b'1234'), ({'Ssm-Part': 'a 2 2'}, b'5')]
    >>> list(parcels_of("a", b"1234", 4))
    [(None, b'1234')]
    """
    if len(body) <= most_bytes:
        yield None, body
        return
    count = -(-len(body) // most_bytes)
    for number in range(count):
        part = body[number * most_bytes : (number + 1) * most_bytes]
        yield {PART: f"{name} {number + 1} {count}"}, part


class Joining:
    """Bodies that have come in part.

    >>> joining = Joining()
    >>> [joining.add(headers[PART], data) for headers, data in parcels_of("a", b"12345", 2)]
    [None, None, b'12345']
    """

    def __init__(self, most_bytes: int = MAX_JOINING_BYTES) -> None:
        self._most_bytes = most_bytes
        self._begun: dict[str, list[bytes]] = {}
        self._bytes = 0

    def add(self, part: str, data: bytes) -> bytes | None:
        """Take a part; return the body that it completes.

        A part that does not follow the one before ends its body: nothing is guessed.
        """
        name, _, place = part.partition(" ")
        number, _, count = place.partition(" ")
        if not (is_number(number) and is_number(count)):
            return None
        come = self._begun.pop(name, [])
        self._bytes -= sum(map(len, come))
        if int(number) != len(come) + 1:
            return None
        come.append(data)
        if number == count:
            return b"".join(come)
        self._begun[name] = come
        self._bytes += sum(map(len, come))
        while self._bytes > self._most_bytes:
            self._bytes -= sum(map(len, self._begun.pop(next(iter(self._begun)))))
        return None
