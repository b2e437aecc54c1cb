"""Tests that must end even where what they try does not, and clocks and trees for them."""

from __future__ import annotations

import faulthandler
import functools
import gc
import os
import resource
import select
import signal
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec

import pytest

P = ParamSpec("P")
WAIT = 30  # times its seconds of work that a test may take, on a machine that does other things
GRACE_S = 5.0  # from the end of that until its process is killed from outside


def bounded(seconds: int = 10) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Run a test in a process of its own, which ends after `seconds` of work at the latest.

    Work is processor time, so that the bound holds on a busy machine too. The process is a fork, so
    that the test may use what it likes of this one; signals and alarms are its own. A test that
    does not end fails with the place where it is.
    """

    def decorate(test: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(test)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            failed = run_apart(functools.partial(test, *args, **kwargs), seconds)
            if failed:
                pytest.fail(failed, pytrace=False)

        return run

    return decorate


def run_apart(test: Callable[[], None], seconds: int) -> str:
    """Why the test failed, as text; empty if it passed."""
    with tempfile.TemporaryFile() as told, suppress_fork_warning():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            become(test, seconds, told.fileno())
        os.close(writer)
        try:
            if not select.select([reader], [], [], seconds * WAIT + GRACE_S)[0]:
                os.kill(child, signal.SIGKILL)
        finally:
            os.close(reader)
            _, status = os.waitpid(child, 0)
        told.seek(0)
        text = told.read().decode("utf-8", "replace")
    if status == 0:
        return ""
    if os.WIFSIGNALED(status):
        return f"ended by signal {os.WTERMSIG(status)}, as after {seconds} s of work\n{text}"
    return text or f"ended with status {status}"


def become(test: Callable[[], None], seconds: int, told: int) -> None:
    """Run the test in the forked process, and end it; writes to `told` what went wrong."""
    status = 1
    gc.freeze()  # what other tests have left: a finalizer of it would swallow what a handler raises
    try:
        faulthandler.dump_traceback_later(seconds * WAIT, exit=True, file=told)  # no alarm
        faulthandler.register(signal.SIGXCPU, file=told, chain=True)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        test()
        status = 0
    except BaseException:  # noqa: BLE001 - all that a test may raise is told by the parent
        os.write(told, traceback.format_exc().encode("utf-8", "replace"))
    finally:
        os._exit(status)


@contextmanager
def suppress_fork_warning() -> Iterator[None]:
    """Fork although other tests may have left threads: the fork uses none of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def signal_soon(number: int, after_s: float) -> None:
    """Send a signal to this process in `after_s` seconds of real time, once."""
    threading.Timer(after_s, os.kill, (os.getpid(), number)).start()


@contextmanager
def signalled(number: int) -> Iterator[None]:
    """A block that is sent a signal soon; on a slow machine, as it begins."""
    signal_soon(number, 0.05)
    yield


class PassingClock:
    """A clock on which a millisecond passes whenever it is read. For loops that must see time."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def now_s(self) -> float:
        self._now_s += 0.001
        return self._now_s

    def wall_s(self) -> float:
        return 1_767_225_600.0 + self._now_s

    def sleep_s(self, seconds: float) -> None:
        self._now_s += seconds


class Lives:
    """An `init` whose first life comes up, and whose next ones do what `again` does."""

    def __init__(self, again: Callable[[int], Any], state: Any = 0) -> None:
        self.count = 0
        self._again = again
        self._state = state

    def __call__(self, _name: str) -> Any:
        self.count += 1
        return self._state if self.count == 1 else self._again(self.count)


def refuse(life: int) -> Any:
    """An `init` that raises."""
    raise OSError(f"life {life} cannot begin")


def drive(coroutine: Generator[Any, Any, Any] | Any) -> Any:
    """Run a coroutine up to its first wait, by hand; its result if it does not wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    finally:
        with suppress(RuntimeError):
            coroutine.close()
    return None


def elapsed_s(begun_s: float) -> float:
    """The real seconds since `begun_s`."""
    return time.monotonic() - begun_s
