"""An outlet on a disk that is full, and has room again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ssm_cli.render import outlet
from ssm_cli.render.outlet import MOST_WAITING_BYTES, Outlet

LINE = "x" * 1023 + "\n"


class Disk:
    """What takes `room` bytes, and then fails with `error`."""

    def __init__(self, error: int) -> None:
        self.error = error
        self.room = 1500
        self.got = b""

    def send(self, data: memoryview) -> int:
        if not self.room:
            raise OSError(self.error, os.strerror(self.error))
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.got += taken
        return len(taken)


@pytest.fixture(params=[errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(request.param)
    monkeypatch.setattr(outlet, "sender", lambda _: disk.send)
    return disk


def test_reports_wait_for_room_and_those_that_are_dropped_are_counted(
    disk: Disk, tmp_path: Path
) -> None:
    with (tmp_path / "log").open("w") as stream:
        out = Outlet(stream, reports=True)
        kept = 0
        while not out.dropped:
            (out.offer if kept % 2 else out.write)(LINE)
            kept += 1
        out.offer(LINE)
        assert MOST_WAITING_BYTES < out.waiting < MOST_WAITING_BYTES + 2 * len(LINE)
        disk.room = 1 << 30
        out.flush()
        out.write("again\n")
        out.finish()
    lines = disk.got.decode().splitlines()
    assert lines[: kept - 1] == [LINE.strip()] * (kept - 1)
    assert lines[kept - 1 :] == [out.say_dropped(2).strip(), "again"]


def test_what_was_asked_for_fails_where_there_is_no_room(disk: Disk, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        out = Outlet(stream)
        out.write(LINE)
        with pytest.raises(OSError, match=os.strerror(disk.error)):
            out.write(LINE)


def test_the_end_does_not_wait_for_room(disk: Disk, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        out = Outlet(stream, reports=True)
        out.write(LINE + LINE)
        out.finish()
    assert (len(disk.got), out.waiting) == (1500, 0)
