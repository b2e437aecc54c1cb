"""One request of a route, as its handler gets it."""

from __future__ import annotations

from typing import Any

import msgspec

from ssm_cli.http.statuses import HttpError


class Request(msgspec.Struct):
    """One request: its path parameters, its query and its body."""

    names: dict[str, str]
    query: dict[str, Any]
    body: bytes = b""
    is_json: bool = False

    @property
    def name(self) -> str:
        """The worker, supervisor or node in the path."""
        return self.names["name"]

    @property
    def text(self) -> str:
        """The body as text."""
        try:
            return self.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise HttpError(400, f"the body is no UTF-8: {error}") from error
