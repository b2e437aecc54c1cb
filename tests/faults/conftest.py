from __future__ import annotations

import signal
import time

import pytest

from ssm_cli.runtime.engine.guard import ALARM


@pytest.fixture(autouse=True)
def alarm_at_rest() -> None:
    """A node that an earlier test did not stop keeps the alarm for one idle tick more."""
    end_s = time.monotonic() + 60
    while ALARM.is_set() and time.monotonic() < end_s:
        signal.sigtimedwait([], 0.01)
    assert not ALARM.is_set()
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
