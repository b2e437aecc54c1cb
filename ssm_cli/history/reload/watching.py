"""Watching the files of the code that runs, for `ssm run --reload`.

A file that has changed is loaded once two looks in a row find it alike: an editor may still be
writing. What comes out alike is done at once; what differs waits for somebody to say `reload`.

What counts is what is in a file. It is read again whenever its time, size, number or `ctime` (of a
change of any kind, which no tool puts back) is another, and at the first looks in any case: a write
within one tick of the clock of a disk leaves all of these as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ssm_cli.errors import SsmError
from ssm_cli.history.comparing import SAME
from ssm_cli.history.reload.changing import is_untried
from ssm_cli.history.telling import Data
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.recoding import tell_difference, tell_failure
from ssm_cli.spec.afresh import stamp_of

Files = Callable[[], list[str]]
Facts = tuple[int, ...]
MOST_READS = 5  # of a file whose facts stay; looks are half a second apart, and a tick is up to 2 s


class Watched(NamedTuple):
    """A file as it was seen: the facts of it, what is in it, and how often that was read."""

    facts: Facts
    stamp: bytes
    reads: int = 1


def facts_of(file: str) -> Facts:
    """Return what a file system tells of the last change of a file; nothing if it has none."""
    with suppress(OSError, ValueError):
        told = Path(file).stat()
        return told.st_mtime_ns, told.st_ctime_ns, told.st_size, told.st_ino, told.st_dev
    return ()


def watched_again(file: str, before: Watched | None) -> Watched:
    """Return a file as it is now; it is read unless that was done often enough since it changed."""
    facts = facts_of(file)
    if before is None or before.facts != facts:
        return Watched(facts, stamp_of(file))
    if before.reads >= MOST_READS:
        return before
    return Watched(facts, stamp_of(file), before.reads + 1)


class FileWatch:
    """Looks at files, and reloads; it has no clock, and is told when to look.

    Args:
        world: the node's, which reports what cannot be done by itself.
        files: gives the files to look at.
        reload: reloads what has changed where nothing differs.
    """

    def __init__(self, world: World, files: Files, reload: Callable[[], Data]) -> None:
        self._world, self._files, self._reload = world, files, reload
        self._seen: dict[str, Watched] = {}
        self._known: dict[str, bytes] = {}  # nothing: what has changed before the first look, too
        self._last = self._known

    def look(self) -> None:
        """Look at the files once; reload what has changed, and has stayed so since the last look.

        What differs is reported as `code_differs`, what cannot be loaded as `code_failed`.
        """
        now, before = self._stamps(), self._last
        self._last = now
        if now == self._known or now != before or not self._world.running:
            return
        self._known = now
        try:
            found = self._reload()
        except SsmError as error:
            tell_failure(self._world, error)
            return
        for told in found["workers"] if not found["done"] else ():
            count = told["total"] - told[SAME]
            detail = {"was": told["was"], "code": told["code"], "differ": count}
            detail |= {"total": told["total"], "slower": told["slower"], "unfit": told["unfit"]}
            detail |= {"untried": True} if is_untried(told) else {}
            tell_difference(self._world, self._world.names[told["worker"]], detail)
        self._last = self._stamps()  # of what may be written meanwhile, the time of before counts
        self._known = {file: now.get(file, stamp) for file, stamp in self._last.items()}

    def _stamps(self) -> dict[str, bytes]:
        self._seen = {file: watched_again(file, self._seen.get(file)) for file in self._files()}
        return {file: seen.stamp for file, seen in self._seen.items()}
