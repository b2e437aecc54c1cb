"""`ssm --install-completion [SHELL]`, `ssm --show-completion [SHELL]`, for any shell.

typer's own options take no shell where it can detect one: `--install-completion zsh`, typed in
bash, would install that of bash.
"""

from __future__ import annotations

from collections.abc import Sequence

from ssm_cli.cli.environment import Environment
from ssm_cli.errors import CommandError
from ssm_cli.exit_codes import ExitCode

INSTALL, SHOW = "--install-completion", "--show-completion"
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
VARIABLE = "_SSM_COMPLETE"


def completion(arguments: Sequence[str], env: Environment) -> int | None:
    """Install or print the completion of the shell that the arguments name.

    Returns:
        The exit code; None if the arguments are something else, or name no shell.

    Raises:
        CommandError: there is no completion for that shell, or there is more to read.
        OSError: a file of the shell cannot be written.
    """
    option, equals, shell = arguments[0].partition("=") if arguments else ("", "", "")
    if option not in (INSTALL, SHOW) or not (equals or len(arguments) > 1):
        return None
    words = [*([shell] if equals else []), *arguments[1:]]
    if len(words) != 1 or words[0] not in SHELLS:
        raise CommandError(f"{option} takes one of {', '.join(SHELLS)}, not `{' '.join(words)}`")
    from typer import _completion_shared as scripts  # noqa: PLC0415 - only here

    if option == SHOW:
        script = scripts.get_completion_script(
            prog_name="ssm", complete_var=VARIABLE, shell=words[0]
        )
        env.stdout.write(f"{script}\n")
        return ExitCode.DONE
    name, path = scripts.install(shell=words[0], prog_name="ssm", complete_var=VARIABLE)
    env.stdout.write(f"completion of {name} is in {path}; it works in shells that start now\n")
    return ExitCode.DONE
