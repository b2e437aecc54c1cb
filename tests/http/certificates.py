"""Certificates that a test makes for itself, by openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates")


def make(folder: Path, name: str, password: str | None = None) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    how = ["-nodes"] if password is None else ["-passout", f"pass:{password}"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-days", "1", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(cert), *how],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key
