"""Watching the files of the code that runs, for `ssm run --reload`.

A file that has changed is loaded once two looks in a row find it alike: an editor may still be
writing. What comes out alike is done at once; what differs waits for somebody to say `reload`.
"""

from __future__ import annotations

from collections.abc import Callable

from ssm_cli.errors import SsmError
from ssm_cli.history.comparing import SAME
from ssm_cli.history.reload.changing import is_untried
from ssm_cli.history.telling import Data
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.recoding import tell_difference, tell_failure
from ssm_cli.spec.afresh import Stamp, stamp_of

Files = Callable[[], list[str]]


class FileWatch:
    """Looks at files, and reloads; it has no clock, and is told when to look.

    Args:
        world: the node's, which reports what cannot be done by itself.
        files: gives the files to look at.
        reload: reloads what has changed where nothing differs.
    """

    def __init__(self, world: World, files: Files, reload: Callable[[], Data]) -> None:
        self._world, self._files, self._reload = world, files, reload
        self._known = self._last = self._stamps()

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

    def _stamps(self) -> dict[str, Stamp]:
        return {file: stamp_of(file) for file in self._files()}
