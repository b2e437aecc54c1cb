"""The program `ssm`, and `python -m ssm_cli`."""

from __future__ import annotations

import sys

from ssm_cli.cli import app
from ssm_cli.cli.environment import Environment


def main() -> None:
    """Run `ssm` with the arguments of this process, and exit with its code."""
    env = Environment.of_process()
    code = app.main(sys.argv[1:], env)
    env.give_back()
    sys.exit(code)


if __name__ == "__main__":
    main()
