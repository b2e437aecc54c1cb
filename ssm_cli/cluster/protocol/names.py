"""Subjects, streams and cells: what things are called in the cluster.

The name of a node or a worker may hold dots; in a subject a dot parts words, so names are written
with `=2E` there. A tree called `node` is `=6Eode`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

ADVERTS = "SSM_NODES"
PARENTS = "SSM_PARENTS"


def word(name: str) -> str:
    """A name as one word of a subject; letters, digits, `_`, `-` and `/` stay as they are.

    >>> word("kv.1")
    'kv=2E1'
    """
    return re.sub(r"[^A-Za-z0-9_\-/]", lambda m: "".join(f"={b:02X}" for b in m[0].encode()), name)


def _tree(name: str) -> str:
    """The name of a tree as a word that is no other's: below `ssm.node` are the nodes."""
    return "=6Eode" if name == "node" else word(name)


def unword(text: str) -> str:
    """The name that a word of a subject stands for.

    >>> unword(word("kv.1 ä"))
    'kv.1 ä'
    """
    return unquote(text.replace("%", "%25").replace("=", "%"))


def stream(tree: str) -> str:
    """The stream that holds the journals of a tree's subtrees.

    >>> stream("shop.eu")
    'SSM_shop_2Eeu'
    """
    return "SSM_" + re.sub(r"[^A-Za-z0-9\-]", lambda m: f"_{ord(m[0]):02X}", tree)


def leases(tree: str) -> str:
    """The cells with the leases of a tree."""
    return f"{stream(tree)}_L"


def saved(tree: str) -> str:
    """The cells with the saved states of a tree."""
    return f"{stream(tree)}_S"


def journal(tree: str, subtree: str) -> str:
    """The subject of a subtree's journal: one chain."""
    return f"ssm.{_tree(tree)}.j.{word(subtree)}"


def journals(tree: str) -> str:
    """The subjects of all journals of a tree."""
    return f"ssm.{_tree(tree)}.j.*"


def calls(tree: str, subtree: str, worker: str) -> str:
    """Return the subject of calls of one worker; `*` for all workers."""
    return f"ssm.{_tree(tree)}.call.{word(subtree)}.{worker if worker == '*' else word(worker)}"


def casts(tree: str, subtree: str, worker: str) -> str:
    """Return the subject of casts to one worker; `*` for all workers."""
    return f"ssm.{_tree(tree)}.cast.{word(subtree)}.{worker if worker == '*' else word(worker)}"


def worker_of(subject: str) -> str:
    """Return the worker of a subject of calls or casts.

    >>> worker_of(calls("shop", "billing", "kv.1"))
    'kv.1'
    """
    return unword(subject.rpartition(".")[2])


def controls(tree: str, subtree: str) -> str:
    """Return the subject of control messages to the subtree's process."""
    return f"ssm.{_tree(tree)}.ctl.{word(subtree)}"


def asks(tree: str, subtree: str) -> str:
    """Return the subject of questions to a subtree as a tree of its own, changes included."""
    return f"ssm.{_tree(tree)}.ask.{word(subtree)}"


def sees(tree: str, subtree: str) -> str:
    """Return the subject of such questions that change nothing."""
    return f"ssm.{_tree(tree)}.see.{word(subtree)}"


def is_ask(subject: str) -> bool:
    """Return whether a subject is one of questions that may change something.

    >>> is_ask(asks("shop", "billing")), is_ask(sees("shop", "billing"))
    (True, False)
    """
    return subject.split(".")[2] == "ask"


def publishes(tree: str, group: str) -> str:
    """Return the subject of what is published to a group of a tree."""
    return f"ssm.{_tree(tree)}.pub.{word(group)}"


def exits(tree: str, subtree: str) -> str:
    """Where the end of a subtree is told."""
    return f"ssm.{_tree(tree)}.exit.{word(subtree)}"


def parent(tree: str) -> str:
    """Return the subject where the parent of a tree's children says that it is there."""
    return f"ssm.{_tree(tree)}.parent"


def agent(node: str) -> str:
    """Return the subject of orders to a node's agent: whoever may publish there has code run."""
    return f"ssm.node.{word(node)}.ctl"


def looks(node: str) -> str:
    """Return the subject of questions to a node's agent, which change nothing."""
    return f"ssm.node.{word(node)}.look"
