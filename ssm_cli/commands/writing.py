"""Files that verbs write, for whoever asks: as a whole, and over none that is somebody else's."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import msgspec

from ssm_cli.commands.parse import Command
from ssm_cli.commands.records import instant
from ssm_cli.errors import CommandError, StorageError
from ssm_cli.history.page import PageData, page
from ssm_cli.history.saved.file import MAGIC
from ssm_cli.history.saved.keeping import installed
from ssm_cli.private import PUBLIC, unwritten, write_private

FORMATS = ("text", "json", "jsonl")  # what `-o` may ask for in place of a file
PAST = MAGIC
PAGE = b" - ssm report</title>"
TEST = b"\n\nPasses once that is mended.\n"
HEAD_BYTES = 4096  # of a file, in which is what it is


def target_of(command: Command) -> str:
    """Return the file that `-o` names in the place of a format; "" for none."""
    return "" if command.output in (None, *FORMATS) else str(command.output)


def made_ready(command: Command) -> Command:
    """Return a command that may write a file, once that has room, with what the tree is to know.

    Raises:
        CommandError: there is no room, or what is asked for is no test.
    """
    verb, given = command.verb, command.arguments
    if verb in ("save", "report"):
        need_room(command, given["file"], PAST if verb == "save" else PAGE)
    if verb == "chaos" and command.output == "html":
        return msgspec.structs.replace(command, arguments={**given, "page": "yes"})
    file = target_of(command) if verb in ("shrink", "fuzz") else ""
    if not file:
        return command
    told_only = "--every" if given.get("every") else "gave_up"
    if told_only in ("--every", given.get("record")):
        raise CommandError(
            f"`shrink {told_only}` writes no test: its inputs are those of many workers; leave out "
            f"`-o {file}`, or redirect what it prints: `> FILE`"
        )
    need_room(command, file, TEST)
    folder = str(Path(file).expanduser().resolve().parent)
    return msgspec.structs.replace(command, arguments={**given, "beside": folder})


def need_room(command: Command, name: str, kind: bytes) -> None:
    """Refuse to write over a file that is not of the same kind, unless `--force` is given.

    `kind` is what stands at the head of those that are. An empty file is nobody's.

    Raises:
        CommandError: there is such a file.
    """
    path = Path(name).expanduser()
    if command.arguments.get("force") or not path.is_file():
        return
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        head = b"unknown"
    if head and kind not in head:
        raise CommandError(
            f"{name} is there, and no file that `{command.verb}` has written: name another one, "
            "or write over it with --force"
        )


def write_file(name: str, text: str) -> None:
    """Write a file of a user's, as a whole.

    Raises:
        CommandError: its name is that of what is no file, or of a folder that is not there.
        StorageError: it cannot be written; nothing is left behind, and what was there stays.
    """
    path = Path(name).expanduser()
    if path.exists() and not path.is_file():
        raise CommandError(f"{name} is no regular file; name another one")
    try:
        write_private(path, text, mode=PUBLIC)
    except OSError as error:
        raise unwritten(name, error) from error


def write_test(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Write the test that was found to a file.

    Returns:
        What was found, with the `file` that it is in, or with why it is `unwritten`: it is told
        whether it can be written or not.
    """
    try:
        write_file(name, found["test"])
    except (CommandError, StorageError) as error:
        return {**found, "unwritten": str(error)}
    return {**found, "file": name}


def made_page(name: str, **shown: Any) -> str:
    """Return a page, as it is made now and here."""
    at, python = instant(time.time()), platform.python_version()
    return page(PageData(name=name, at=at, ssm=installed(), python=python, **shown))
