"""One file of commands: the same text by prompt, script, pipe and verbs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no types

ROOT = Path(__file__).parents[2]
COMMANDS = """\
kv1 Store x 7
kv1 Lookup x
kv2 Store y $2.value
kv2 Lookup y | tr a-z A-Z
state kv1
which-children storage
call kv3 Lookup nothing
help call
kv2 Lookup y > {0}/out
# a comment

kv1 Lookup x
tree > /dev/full
ls -l
Kv1 Lookup x
kv1 Look x
kv9 Lookup x
suspend nobody
kv1 Lookup x >
kv1 Lookup $99
"""


def without_place(text: str) -> list[str]:
    """The lines, without where a script says that they come from."""
    return [re.sub(r"^\S+:\d+: ", "", line) for line in text.splitlines()]


def typed(folder: Path, lines: list[str], environ: dict[str, str]) -> list[str]:
    """What a plain prompt answers to each line; the terminal does nothing but print."""
    child = pexpect.spawn(
        sys.executable, ["-m", "ssm_cli", "run", "trees/kv.yaml", "--quiet"],
        env={**environ, "TERM": "dumb"}, encoding="utf-8", timeout=60, cwd=str(ROOT),
        dimensions=(24, 500),
    )  # fmt: skip
    try:
        child.expect_exact("ssm> ")
        answers = []
        for line in lines:
            child.sendline(line)
            child.expect_exact("ssm> ")
            answers += child.before.replace("\r\n", "\n").removeprefix(f"{line}\n").splitlines()
    finally:
        child.close(force=True)
    return answers


def test_the_same_text_by_prompt_source_script_pipe_and_verbs(tmp_path: Path) -> None:
    folders = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
    environ = {**os.environ, **dict.fromkeys(folders, str(tmp_path)), "PYTHONPATH": str(ROOT)}
    text = COMMANDS.format(tmp_path)
    lines = text.splitlines()
    file = tmp_path / "a.ssm"
    file.write_text(text)

    def ssm(*words: str, given: str = "") -> list[str]:
        """What is shown, and all of it on one stream: 2>&1."""
        command = f"{sys.executable} -m ssm_cli {shlex.join(words)} 2>&1"
        done = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=environ, input=given, text=True,
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        return without_place(done.stdout)

    run = ("run", "trees/kv.yaml", "--quiet", "--keep-going")
    script = ssm(*run, "--script", str(file))
    assert script[:4] == ["Ok", "Result 7", "Ok", "RESULT 7"]
    assert len(script) > len([line for line in lines if line and not line.startswith("#")]) - 1
    assert ssm(*run, given=text) == script
    assert ssm("script", "--keep-going", "--tree", "trees/kv.yaml", str(file)) == script
    assert typed(tmp_path, lines, environ) == script
    ssm("run", "trees/kv.yaml", "--headless", "--detach", "--quiet")
    try:
        assert ssm("script", "--keep-going", str(file)) == script
        for line in ("state kv1", "which-children storage", "call kv3 'Lookup nothing'"):
            assert set(ssm(*shlex.split(line))) <= set(script)
    finally:
        ssm("stop")
