"""ssm from 64 asyncio clients that await acall, on asyncio's own loop."""

# The adapter `ours` with W2clients64 done by asyncio tasks; see there.

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
ours = importlib.import_module("ours")  # beside this file; the benchmark loads it by its path


def w2(n: int, kind: str, m: int = 64, codec: bool = False) -> Any:
    if kind != "clients" or codec:
        return {"skip": "this adapter has asyncio clients only"}
    return ours.w2_asyncio(n, m)
