"""Files that are named by people: their bytes, or the one thing that is wrong with the file.

Any path may be named: one that is too long, holds a NUL, is a folder, a FIFO, a device or a loop of
links, or may not be read. None of them is opened that could block, and none is read without a
bound.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal

import msgspec

MAX_BYTES = 64 * 1024 * 1024


class Unfit(msgspec.Struct, frozen=True):
    """Why a file is not taken, as a sentence that follows its name, and what was expected.

    `line` and `column` are where in the file, from 1; `found` is what there is.
    """

    wrong: str
    wanted: str = ""
    line: int = 1
    column: int = 1
    found: Literal["nothing", "folder", "file"] = "file"


def bytes_of(path: Path, kind: str) -> bytes | Unfit:
    """Return what a file holds, at most `MAX_BYTES`; `kind` is what was expected, in words."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return Unfit("is a folder", kind, found="folder")
        data = _read(path) if stat.S_ISREG(mode) else Unfit("is no regular file", kind)
    except (FileNotFoundError, NotADirectoryError):
        return Unfit("does not exist", kind, found="nothing")
    except OSError as error:
        return Unfit(f"cannot be read: {error.strerror}", "a file you may read")
    except ValueError:  # a NUL, or half of a surrogate pair
        return Unfit("has a name that no file can have", kind)
    return data


def source_of(path: Path) -> bytes:
    """Return what a file of Python code holds; a pipe, which nobody may write to, is not opened.

    Raises:
        OSError: it cannot be read, or is no file; FileNotFoundError: there is none.
    """
    data = bytes_of(path, "a file of Python code")
    if isinstance(data, Unfit):
        kind = FileNotFoundError if data.found == "nothing" else OSError
        raise kind(f"{path} {data.wrong}; expected {data.wanted}")
    return data


def _read(path: Path) -> bytes | Unfit:
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return Unfit("is too large", f"at most {MAX_BYTES // 1024**2} MiB")
    return data


def decoded(data: bytes) -> str | Unfit:
    """Return the text of a file without its byte order mark, or the first byte that is no UTF-8.

    >>> decoded(b"a" + bytes([0xff])).column
    2
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        wrong = f"is not UTF-8: the byte 0x{data[error.start]:02x} does not belong here"
        return Unfit(wrong, "a file saved as UTF-8", line, column)
