"""The `ssm` program: its commands, and the mapping of errors to messages and exit codes."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from ssm_cli.cli.cluster.access import with_url
from ssm_cli.cli.completion import completion
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.help import NobodyReads, Sections, help_, usage_line
from ssm_cli.cli.printer import silence
from ssm_cli.cli.verbs import ASKING, add_verb
from ssm_cli.cli.where import flag
from ssm_cli.commands.text import visible
from ssm_cli.errors import SsmError, TreeFileError, message_of
from ssm_cli.exit_codes import ExitCode, exit_code_of

VERSION = "--version"
EPILOG = (
    "`ssm help COMMAND` explains a command. "
    "--install-completion and --show-completion take the name of a shell, too."
)


def make_app(*words: str) -> typer.Typer:
    """Build the program with all its commands, or with the one alone that the last word names.

    `help` may stand before that one. The app keeps no state. To import and to build one command
    takes some milliseconds; `--version` as the only word needs none of them.
    """
    app = typer.Typer(
        name="ssm",
        cls=Sections,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_ssm)
    if words and words[-1] in ASKING:
        add_verb(app, words[-1])
        if len(words) > 1:
            app.command("help", hidden=True)(help_)
    elif words != (VERSION,):
        from ssm_cli.cli.commands import add_commands  # noqa: PLC0415 - verbs need none of them

        add_commands(app, words)
    return app


def main(arguments: Sequence[str], env: Environment) -> int:
    """Run `ssm` with the arguments after its name; returns the exit code, raises nothing.

    A mistake of the user is a message on standard error without a traceback. A defect of ssm
    is one line and exit code 70; `SSM_DEBUG=1` adds the traceback.
    """
    with env.at_end:
        return _outcome(arguments, env)


def _outcome(arguments: Sequence[str], env: Environment) -> int:
    try:
        code = completion(arguments, env)
        if code is None:
            words = (*arguments[: 2 if "help" in arguments[:1] else 1],)
            app = make_app(*words if words != (VERSION,) or len(arguments) == 1 else ())
            code = app(with_url(arguments), prog_name="ssm", standalone_mode=False, obj=env)
        env.stdout.flush()
    except typer.TyperException as error:
        _tell(env, usage_line(error))
        code = ExitCode.USAGE
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    except SsmError as error:
        complaints = error.complaints if isinstance(error, TreeFileError) else ()
        excerpt = (f"  {line}" for line in error.excerpt)
        _tell(env, *(complaints or (f"ssm: {message_of(error)}", *excerpt)))
        return exit_code_of(error)
    except (BrokenPipeError, NobodyReads):
        silence(env.stdout)
        return ExitCode.BROKEN_PIPE
    except OSError as error:
        silence(env.stdout)
        where = f"{error.filename}: " if error.filename else "input or output failed: "
        _tell(env, f"ssm: {where}{error.strerror}")
        return ExitCode.IO_ERROR
    except Exception as error:  # noqa: BLE001 - the last resort: a defect becomes one line
        if env.debug:
            traceback.print_exception(error, file=env.stderr)
        kind = type(error).__name__
        _tell(env, f"ssm: defect: {kind}: {message_of(error)}; SSM_DEBUG=1 shows the traceback")
        return ExitCode.BUG
    return int(code or 0)


def _ssm(
    ctx: typer.Context,
    version: Annotated[bool, flag("print the version", "--version")] = False,
) -> int:
    """Run trees of supervised state machines: call a worker, crash it, watch it heal."""
    env: Environment = ctx.obj
    if version:
        env.stdout.write(f"ssm {_version()}\n")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        env.stdout.write(ctx.get_help() + "\n")
        raise typer.Exit
    return 0


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow, and rare

    try:
        return version("supervised-state-machines")
    except PackageNotFoundError:
        return "unknown: run from a checkout that is not installed"


def _tell(env: Environment, *lines: str) -> None:
    try:
        for line in lines:
            env.stderr.write(visible(line) + "\n")
        env.stderr.flush()
    except OSError:
        silence(env.stderr)  # nobody is left to be told; the exit code still says it
