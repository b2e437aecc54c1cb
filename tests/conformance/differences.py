"""Deliberate differences: a recorded step, with what ssm does in place of what OTP did."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("differences.toml")
FIELDS = {"vector", "step", "field", "otp", "ssm", "why"}


def load(path: Path = FILE) -> dict[tuple[str, int, str], tuple[Any, Any]]:
    """What OTP did and what ssm does, by vector, step and field."""
    found = {}
    for entry in tomllib.loads(path.read_text())["difference"]:
        assert set(entry) == FIELDS, f"a difference has {sorted(FIELDS)}, this one {sorted(entry)}"
        assert entry["why"].strip(), "a difference has a reason"
        place = (entry["vector"], entry["step"], entry["field"])
        found[place] = (json.loads(entry["otp"]), json.loads(entry["ssm"]))
    return found


KNOWN = load()


def as_we_do_it(vector: str, number: int, step: Any, known: Any = None) -> Any:
    """The recorded step with the known differences put in; each must differ as it says."""
    step = dict(step)
    for (which, at, field), (otp, ssm) in (KNOWN if known is None else known).items():
        if (which, at) == (vector, number):
            assert step[field] == otp, f"{vector} step {number}: OTP's {field} is {step[field]!r}"
            step[field] = ssm
    return step
