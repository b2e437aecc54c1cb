"""How much is tried of what is random or sampled: a part every day, all where it is asked for.

`SSM_THOROUGH=1 pytest` tries all, as .ci/run does on one Python. Every run is the same, but for
what Hypothesis makes up with `SSM_THOROUGH=random`.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

THOROUGH = os.environ.get("SSM_THOROUGH", "") not in ("", "0")

settings.register_profile(
    "everyday",
    derandomize=os.environ.get("SSM_THOROUGH") != "random",
    suppress_health_check=[HealthCheck.too_slow],  # how long values take to make is no claim
)
settings.load_profile("everyday")


def tries(everyday: int, thorough: int) -> int:
    """How often something is tried in this run."""
    return thorough if THOROUGH else everyday
