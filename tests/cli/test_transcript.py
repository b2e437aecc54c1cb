"""One file of commands: the same text by prompt, script, pipe and verbs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests import program
from tests.on_terminal import on_terminal
from tests.program import ROOT

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


PROMPT = r"ssm(?: \d+)?> "
OF_THE_PAST = """\
kv2 Store x 1
kv2 Store x 5
kv2 Lookup crash
history kv2 -n 4
blame kv2 x --when state.x > 1
when kv2 state.x > 1
when kv2 'state.x > 1' | tr a-z A-Z
when kv2 state.x > 10
when kv2 state.x >
state kv2 --at 1
state kv2 --at crash
at crash
state kv2
kv2 Store x 9
set kv2 {{}}
diff
back
state kv2
next --when state.x > 1
diff 1 2
why 2
tree
now
state kv2
at 99
now
state kv2 --at yesterday
history > {0}/out
"""


def without_place(text: str) -> list[str]:
    """The lines, without where a script says that they come from, without times of day, and without
    what is the way to reports at each door.
    """
    lines = (
        re.sub(r"^\S+:\d+: |; `(ssm )?log` shows .*|  by \S+$", "", line)
        for line in text.splitlines()
    )
    return [re.sub(r"\d\d:\d\d:\d\d\.\d{3}", "TIME", line) for line in lines]


def typed(folder: Path, lines: list[str], environ: dict[str, str]) -> list[str]:
    """What a plain prompt answers to each line; the terminal does nothing but print."""
    child = on_terminal(
        "run", "trees/kv.yaml", "--quiet",
        env={**environ, "TERM": "dumb"}, encoding="utf-8", cwd=ROOT, size=(24, 500),
    )  # fmt: skip
    try:
        child.expect(PROMPT)
        answers = []
        for line in lines:
            child.sendline(line)
            child.expect(PROMPT)
            said = child.before.replace("\r\n", "\n").removeprefix(f"{line}\n")
            answers += without_place(said)
    finally:
        child.close(force=True)
    return answers


@pytest.mark.parametrize(
    ("commands", "first", "asked"),
    [
        (COMMANDS, ["Ok", "Result 7", "Ok", "RESULT 7"],
         ["state kv1", "which-children storage", "call kv3 'Lookup nothing'"]),
        (OF_THE_PAST, ["Ok", "Ok"],
         ["state kv2 --at 1", "when kv2 'state.x > 1'", "diff 1 2", "tree --at 2"]),
    ],
    ids=["now", "past"],
)  # fmt: skip
def test_the_same_text_by_prompt_source_script_pipe_and_verbs(
    tmp_path: Path, commands: str, first: list[str], asked: list[str]
) -> None:
    folders = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
    environ = {**os.environ, **dict.fromkeys(folders, str(tmp_path)), "PYTHONPATH": str(ROOT)}
    text = commands.format(tmp_path)
    lines = text.splitlines()
    file = tmp_path / "a.ssm"
    file.write_text(text)

    def ssm(*words: str, given: str = "") -> list[str]:
        """What is shown, and all of it on one stream: 2>&1."""
        command = f"{shlex.join([*program.command(), *words])} 2>&1"
        done = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=environ, input=given, text=True,
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        return without_place(done.stdout)

    run = ("run", "trees/kv.yaml", "--quiet", "--keep-going")
    script = ssm(*run, "--script", str(file))
    assert script[: len(first)] == first
    assert len(script) > len([line for line in lines if line and not line.startswith("#")]) - 1
    assert ssm(*run, given=text) == script
    assert ssm("script", "--keep-going", "--tree", "trees/kv.yaml", str(file)) == script
    assert typed(tmp_path, lines, environ) == script
    ssm("run", "trees/kv.yaml", "--headless", "--detach", "--quiet")
    try:
        assert ssm("script", "--keep-going", str(file)) == script
        for line in asked:
            assert set(ssm(*shlex.split(line))) <= set(script)
    finally:
        ssm("stop")
