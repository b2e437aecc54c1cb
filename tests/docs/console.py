"""Console blocks of Markdown pages, executed: what a page shows is what happens.

A block begins with three backticks and `console`. In it

    $ COMMAND       is run by the shell; `> ` lines below it continue it
    ssm> LINE       is typed at the prompt that the command above has opened (on a terminal),
                    which says where one is: `ssm 174> `, `fork1 174> `
    anything else   is the output, standard error included, compared exactly, but for `...`:
                    on a line of its own it stands for any lines, within a line for any text

All blocks of a page share one folder, a copy of `trees/` in it, and the exit code `$?`. The port at
which a tree of a page listens stands for one that is free, as suites run side by side.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no type stubs of its own

from tests.ports import free_ports
from tests.program import command

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PROMPT = re.compile(r"(?:ssm(?: \d+)?|fork\d+ \d+)> ")
PORT = "18483"
DEADLINE_S = 180.0  # a bound for a machine under load; nothing waits for it
_BLOCK = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Step:
    """A command, the lines that are typed at its prompt, and all that is seen until it ends."""

    line: int
    command: str
    typed: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)


def blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """The code blocks of a page in one language, each with the number of its first line."""
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        if match[1] == language:
            yield text.count("\n", 0, match.start(2)) + 1, match[2]


def steps_of(page: Path) -> list[Step]:
    """The commands of all console blocks of a page, in order."""
    steps: list[Step] = []
    for first, text in blocks(page, "console"):
        in_command = False
        for number, line in enumerate(text.splitlines(), first):
            if line.startswith("$ "):
                steps.append(Step(number, line[2:]))
            elif in_command and (line == ">" or line.startswith("> ")):
                steps[-1].command += "\n" + line[2:]
                continue
            else:
                assert steps, f"{page}:{number}: a console block begins with a command"
                steps[-1].shown.append(line)
                if prompt := PROMPT.match(line):
                    steps[-1].typed.append(line[prompt.end() :])
            in_command = line.startswith("$ ")
    return steps


def matches(shown: list[str], seen: list[str]) -> bool:
    """Whether what was seen is what the page shows, `...` standing for anything."""
    parts = [r"(?:.*\n)*?" if line == "..." else _line_pattern(line) + r"\n" for line in shown]
    return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in seen)) is not None


def _line_pattern(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("..."))


REPORT = re.compile(r"\d\d:\d\d:\d\d [^\d ] ")


class Shell:
    """Runs steps in a folder of its own, with `ssm` and `python` on the path.

    Where something is typed, `ssm` is a process of that terminal; elsewhere it is a fork.
    """

    def __init__(self, folder: Path) -> None:
        self.here = folder / "work"
        self._code = 0
        self._port = str(free_ports(1)[0])
        self._pwd = folder / "pwd"
        self._programs = programs = folder / "bin"
        real = [sys.executable, "-m", "ssm_cli"]
        for name, words in {"ssm": command(), "real/ssm": real, "python": real[:1]}.items():
            program = programs / name
            program.parent.mkdir(exist_ok=True, parents=True)
            program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            program.chmod(0o755)
        shutil.copytree(ROOT / "trees", self.here / "trees", ignore=shutil.ignore_patterns("__*"))
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        kept = {name: v for name, v in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        self._environ = {
            **kept,
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "COLUMNS": "80",
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "PWD": str(self.here),
        }

    def run(self, step: Step) -> list[str]:
        """Run a step; the lines that were seen."""
        command = step.command.replace(PORT, self._port)
        script = f'(exit {self._code})\n{command}\n(code=$?; pwd >"{self._pwd}"; exit $code)'
        text = self._typed(script, step) if step.typed else self._plain(script)
        self.here = Path(self._pwd.read_text().strip())
        lines = text.replace("\r\n", "\n").replace(self._port, PORT).splitlines()
        far = step.command.startswith("ssm attach")  # what happens is told there when it has come
        return [line for line in lines if not (far and REPORT.match(line))]

    def _plain(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.here,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        self._code = done.returncode
        return done.stdout

    def _typed(self, script: str, step: Step) -> str:
        """The same on a terminal: each line is typed when the prompt has come."""
        child = pexpect.spawn(
            "bash",
            ["-c", script],
            cwd=str(self.here),
            env={**self._environ, "PATH": f"{self._programs}/real:{self._environ['PATH']}"},
            timeout=DEADLINE_S,
            encoding="utf-8",
            dimensions=(24, 200),
        )
        child.delaybeforesend = None
        text, echoed = "", 0
        for line in step.typed:
            for _ in range(1 + echoed):
                child.expect(PROMPT)
                text += f"{child.before}{child.after}"
            child.sendline(line)
            echoed = self._commands(line.removeprefix("source ")) if "source " in line else 0
        child.expect(pexpect.EOF)
        text += str(child.before)
        child.close()
        self._code = child.exitstatus
        return text

    def _commands(self, script: str) -> int:
        """How many lines of a script are shown behind a prompt of their own as it runs."""
        lines = (self.here / script).read_text().splitlines()
        return sum(bool(line) and not line.startswith("#") for line in lines)
