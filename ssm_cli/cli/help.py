"""Help: the commands in sections, none of them cut; `ssm help`; and how wrong usage is told."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ssm_cli.cli.environment import Environment
from ssm_cli.cli.printer import answer
from ssm_cli.cli.where import Output
from ssm_cli.commands.parse import is_option, no_option
from ssm_cli.commands.verbs import TABLE, VERBS, nearest
from ssm_cli.errors import CommandError
from ssm_cli.exit_codes import ExitCode

WHOLE = 10_000  # characters of a line of help: more than any has, so that none is cut
MORE = "More"


def _verbs(section: str) -> tuple[str, ...]:
    found = (verb for verb in TABLE if verb.section == section)
    return tuple(verb.name for verb in found if verb.asks)


SECTIONS: dict[str, tuple[str, ...]] = {
    "Trees": ("run", "ls", "attach", *_verbs("tree"), "wait", "script"),
    "Workers": _verbs("workers"),
    "Supervisors": _verbs("supervisors"),
    "The past": _verbs("history"),
    "Files and data": ("new", "check", "schema", "data", "open"),
    "Other computers": ("login", "node", "nodes", "move"),
}
"""The commands by what they are about, in the order in which help shows them; it is not listed."""


def section_of(command: str) -> str:
    """Return the section of help in which a command stands."""
    return next((title for title, names in SECTIONS.items() if command in names), MORE)


class NobodyReads(Exception):
    """Nobody reads the output: a `BrokenPipeError` that typer does not turn into exit code 1."""


class Sections(TyperGroup):
    """A program whose help lists its commands in sections, each line as long as it is."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        """Parse the words, as all groups do; raises `NobodyReads` where `--help` cannot print."""
        try:
            return super().make_context(*args, **more)
        except BrokenPipeError as error:
            raise NobodyReads from error

    def invoke(self, ctx: Any) -> Any:
        """Execute the command, as all groups do; raises `NobodyReads` where it cannot print."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise NobodyReads from error

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # its types are private
        """Write the sections of commands."""
        shown = {title: list[tuple[str, str]]() for title in (*SECTIONS, MORE)}
        top = ctx.parent is None
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                line = command.get_short_help_str(WHOLE)
                shown[section_of(name) if top else MORE].append((name, line))
        widest = max(len(name) for rows in shown.values() for name, _ in rows)
        for title, rows in shown.items():
            if rows:
                with formatter.section(title if top else "Commands"):
                    formatter.write_dl([(name.ljust(widest), line) for name, line in rows])


class Asks(TyperCommand):
    """A command that asks a tree: free words may begin with a dash, as `-1`, but for a letter."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words, as all commands do.

        Raises:
            CommandError: one that does not stand behind `--` is an option that there is not.
        """
        literal = len(args) - args.index("--") - 1 if "--" in args else 0
        ctx.ignore_unknown_options = any(one.nargs == -1 for one in self.params)
        rest: list[str] = super().parse_args(ctx, args)
        given = [ctx.params[one.name] for one in self.params if one.param_type_name == "argument"]
        words = [word for one in given for word in ([one] if isinstance(one, str) else one or ())]
        verb = VERBS[str(self.name)]
        behind = " (an input that begins with `-` goes behind `--`)" if verb.takes_rest else ""
        own = {spelling: one for one in verb.options for spelling in one.spellings}
        known = [*own, *(spelling for one in self.params for spelling in one.opts)]
        for before, word in pairwise(["", *words[: max(0, len(words) - literal)]]):
            is_value = before in own and own[before].kind != "flag"
            if is_option(word) and not is_value and word.partition("=")[0] not in known:
                options = dict.fromkeys(one for one in known if one.startswith("--"))
                raise CommandError(f"{no_option(verb, word, [*options])}{behind}")
        return rest


def commands(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the names of commands: of the program, or of the group that stands before."""
    here: Any = ctx.find_root().command
    for word in ctx.params.get("words") or ():
        here = getattr(here, "commands", {}).get(word)
    known = getattr(here, "commands", {})
    return [name for name, one in known.items() if name.startswith(incomplete) and not one.hidden]


def help_(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND]", help="as `call`, or `data ls`", autocompletion=commands
        ),
    ] = None,
    *,
    output: Output = None,
) -> int:
    """List the commands, or explain one."""
    env: Environment = ctx.obj
    here = ctx.find_root()
    for word in words or ():
        command = here.command
        known = command.commands if isinstance(command, TyperGroup) else {}
        if word not in known:
            meant = nearest(word, known)
            hint = (
                f"did you mean `{meant}`?" if meant else f"`{here.command_path} --help` lists them"
            )
            raise CommandError(f"`{word}` is no command; {hint}")
        here = typer.Context(known[word], info_name=word, parent=here)
    text = here.get_help()
    record = {"v": 1, "type": "help", "command": here.command_path, "text": text}
    answer(env, output, text.split("\n"), [record])
    return ExitCode.DONE


def usage_line(error: Any) -> str:
    """Return what is wrong with the words of a command line, in the style of all errors.

    `error` is what typer raises.
    """
    text = str(error.format_message()).strip().removesuffix(".")
    text = re.sub(r"^Invalid value(: | for )", "", text)
    text = re.sub(r"^No such command '(.*?)'", r"`\1` is no command", text, flags=re.DOTALL)
    text = re.sub(r"is not a valid (float|integer)( range)?$", "is no number", text)
    text = text.replace(". Did you mean", "; did you mean").removesuffix("?")
    text = re.sub(r"'([^'\n]*)'", r"`\1`", text)
    where = getattr(error, "ctx", None)
    path = "ssm" if where is None else where.command_path
    if where is not None and where.parent is None and text.startswith("No such option"):
        return f"ssm: {text[:1].lower()}{text[1:]} before a command; options stand behind it"
    return f"ssm: {text[:1].lower()}{text[1:]}; `{path} --help` shows how to write it"
