"""What a person is asked before a command goes on: the next line is the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

YES, NO = frozenset({"y", "yes"}), frozenset({"", "n", "no"})


class Questions:
    """One question at a time.

    Args:
        notice: shows a line to the person for a while.

    Attributes:
        text: what the next line answers; None while nothing is asked.
    """

    def __init__(self, notice: Callable[[str], None]) -> None:
        self.text: str | None = None
        self._notice = notice
        self._answer: asyncio.Future[bool] | None = None

    def answer(self, line: str) -> bool:
        """Take a line for the answer to the question; False if it is none.

        Another line than yes or no means no, and is to be carried out behind that.
        """
        if self._answer is None or self._answer.done():
            return False
        word = line.strip().lower()
        self._answer.set_result(word in YES)
        return word in YES or word in NO

    async def agreed(self, text: str) -> bool:
        """Ask; whether the answer is yes."""
        self.text = f"{text}. Type y to go on"
        self._notice(self.text)
        self._answer = asyncio.get_running_loop().create_future()
        try:
            agreed = await self._answer
        finally:
            self._answer = self.text = None
        if not agreed:
            self._notice("not done")
        return agreed
