"""`HttpNode`: a tree of another process, asked as if it were a node of this one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from ssm_cli.codec.port import Constructor
from ssm_cli.http.client.asking import HttpAsking
from ssm_cli.http.client.calls import worker_path
from ssm_cli.http.client.connection import Address
from ssm_cli.http.client.wire import EventParser
from ssm_cli.runtime.views import Kind, NodeView, Report

REPORT_KEYS = {"v", "type", "seq", "at", "event", "id", "path", "kind"}


class HttpNode(HttpAsking):
    """A running tree, reached over HTTP. Implements `NodeApi`, and blocks while it waits.

    Args:
        address: where it is.
        token: what it wants to see on TCP.
        name: its name, if that is known already.
    """

    def __init__(self, address: Address, token: str | None = None, name: str = "") -> None:
        super().__init__(address, token)
        self._name = name

    @property
    def name(self) -> str:
        """The name others find the tree by."""
        if not self._name:
            self._name = str(self.info()["name"])
        return self._name

    # -- looking -------------------------------------------------------------------------------

    def constructors(self, worker: str) -> tuple[Constructor, ...]:
        """The constructors of the worker's inputs."""
        found = self.ask("GET", f"{worker_path(worker)}/constructors")
        return msgspec.convert(found, tuple[Constructor, ...])

    def names(self, kind: Kind | None = None) -> Sequence[str]:
        """The names of all nodes in start order."""
        query = "" if kind is None else f"?kind={kind}"
        return msgspec.convert(self.ask("GET", f"/v1/names{query}"), list[str])

    def tree(self) -> NodeView:
        """The whole tree, as it stands."""
        return self.look(30.0)

    def look(self, timeout_s: float) -> NodeView:
        """The same within a time. Raises `CallTimeout` where it takes longer."""
        return msgspec.convert(self.ask("GET", "/v1/tree", timeout_s=timeout_s), NodeView)

    def info(self, timeout_s: float | None = 30.0) -> dict[str, Any]:
        """Name, file, process, uptime and counts of the tree."""
        found = self.ask("GET", "/v1/info", timeout_s=timeout_s)
        return msgspec.convert(found, dict[str, Any])

    def reports(self, after: int = 0, last: int | None = None) -> Sequence[Report]:
        """The kept reports with a `seq` greater than `after`, oldest first; at most `last`."""
        query = {"after": after} | ({} if last is None else {"last": last})
        found = self.ask("GET", f"/v1/log?{urlencode(query)}")
        return [report_of(record) for record in msgspec.convert(found, list[dict[str, Any]])]

    def quarantined(self) -> list[dict[str, Any]]:
        """The inputs that are refused, as they have crashed their worker too often."""
        return msgspec.convert(self.ask("GET", "/v1/quarantine"), list[dict[str, Any]])

    def release_input(self, number: int) -> dict[str, Any]:
        """Let one of them in again."""
        return msgspec.convert(self.ask("DELETE", f"/v1/quarantine/{number}"), dict[str, Any])

    def follow(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """The records of the report stream after the one numbered `after`, as they come.

        Ends with the tree. A reader that was too slow gets a record of type `dropped` as its last.
        """
        parser = EventParser()
        for data in self.connection.stream("/v1/reports", {"last-event-id": str(after)}):
            yield from parser.feed(data)


def report_of(record: dict[str, Any]) -> Report:
    """The report that a record shows.

    >>> report_of({"seq": 1, "at": "1970-01-01T00:00:01.500000Z", "event": "started",
    ...            "id": "kv1", "path": "root/kv1", "kind": "worker", "n": 2}).detail
    {'n': 2}
    """
    at_s = datetime.fromisoformat(record["at"]).timestamp()
    detail = {key: value for key, value in record.items() if key not in REPORT_KEYS}
    head = (record["event"], record["id"], record["path"], record["kind"])
    return Report(record["seq"], at_s, *head, detail)
