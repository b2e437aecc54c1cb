"""Settings of the prompt: a commented TOML file, and a start-up script beside it.

Both are in the user's folder for settings. Neither has to be there; nothing is written unasked.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from platformdirs import user_config_dir

from ssm_cli.errors import CommandError
from ssm_cli.private import read_file, unwritten, write_private

FILE_BYTES = 256 * 1024  # a larger file is no settings

TEMPLATE = """\
# Settings of ssm's prompt. Every key may be left out; what stands here are the defaults.

# ui = "full"            # full (split screen), inline (below the scrollback), plain (lines)
# editing = "emacs"      # emacs or vi
# theme = "auto"         # dark or light; auto: what the terminal says in COLORFGBG, else dark
# mouse = true           # the mouse works in the view; F8 lets it select text
# ascii = false          # draw with ASCII characters alone
# pager = true           # tall output goes through $PAGER in inline and plain
# confirm_above = 50     # ask before a command ends more workers than this; 0: never
# history = true         # remember what was typed

[aliases]
# A word for the beginning of a command; the rest of the line follows it.
# l = "log -n 20"
# look = "kv2 Lookup"
"""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a prompt; `TEMPLATE` says what each does."""

    ui: Literal["full", "inline", "plain"] = "full"
    editing: Literal["emacs", "vi"] = "emacs"
    theme: Literal["auto", "dark", "light"] = "auto"
    mouse: bool = True
    ascii: bool = False
    pager: bool = True
    confirm_above: int = 50
    history: bool = True
    aliases: dict[str, str] = {}


def config_folder(environ: Mapping[str, str]) -> Path:
    """Where settings and `startup.ssm` are: `$XDG_CONFIG_HOME/ssm`, or the platform's folder."""
    home = environ.get("XDG_CONFIG_HOME")
    return Path(home, "ssm") if home else Path(user_config_dir("ssm"))


def config_path(environ: Mapping[str, str]) -> Path:
    """The file of settings."""
    return config_folder(environ) / "config.toml"


def load_settings(environ: Mapping[str, str]) -> Settings:
    """The settings of the user; the defaults where there is no file.

    Raises:
        CommandError: the file cannot be read, or a setting is none; says which and what may be.
    """
    path = config_path(environ)
    try:
        data = read_file(path, FILE_BYTES)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise CommandError(f"cannot read the settings {path}: {error.strerror}") from error
    try:
        return msgspec.convert(tomllib.loads(data.decode()), Settings)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise CommandError(f"{path}: {error}; the defaults are taken") from error


def write_template(environ: Mapping[str, str]) -> tuple[Path, bool]:
    """Write the commented defaults where there are no settings; where they are, and whether.

    Raises:
        StorageError: they cannot be written; no part of them is left.
    """
    path = config_path(environ)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path, write_private(path, TEMPLATE, anew=True)
    except OSError as error:
        raise unwritten(path, error) from error


def expand(line: str, aliases: Mapping[str, str]) -> str:
    """A line whose first word is an alias, with what it stands for; another as it is.

    >>> expand("look x", {"look": "kv2 Lookup"}), expand("log", {"look": "kv2 Lookup"})
    ('kv2 Lookup x', 'log')
    """
    word, blank, rest = line.lstrip().partition(" ")
    return f"{aliases[word]}{blank}{rest}" if word in aliases else line
