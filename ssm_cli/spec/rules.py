"""The rules between the fields of a spec, each in words; the readers of all doors use them."""

from __future__ import annotations

from collections.abc import Mapping

from ssm_cli.spec import keys
from ssm_cli.spec.keys import fault, sentence, shown
from ssm_cli.spec.model import (
    MAX_DEPTH,
    AutoShutdown,
    ChildSpec,
    RemoteSpec,
    Restart,
    Strategy,
    WorkerSpec,
)

TEXT = {str}
MAX_NAMES = 10  # wrong argument names that a message repeats


def combination_fault(restart: object, significant: object, auto_shutdown: object) -> str | None:
    """What is wrong between these three, given as words (OTP's `bad_combination`).

    >>> combination_fault("permanent", True, "any_significant")
    'is true with restart permanent; expected restart transient or temporary'
    """
    if significant is not True:
        return None
    if auto_shutdown == AutoShutdown.NEVER.value:
        wanted = "auto_shutdown any_significant or all_significant at its supervisor"
        return sentence("is true with auto_shutdown never", wanted)
    if restart == Restart.PERMANENT.value:
        return sentence("is true with restart permanent", "restart transient or temporary")
    return None


def template_fault(strategy: object, children: int) -> str | None:
    """What is wrong with the number of children for the strategy, given as a word.

    >>> template_fault("simple_one_for_one", 2)
    'has 2 children under simple_one_for_one; expected exactly one, the template'
    """
    if strategy != Strategy.SIMPLE_ONE_FOR_ONE.value or children == 1:
        return None
    count = "no children" if children == 0 else f"{children} children"
    return sentence(f"has {count} under simple_one_for_one", "exactly one, the template")


def pool_fault(strategy: object) -> str | None:
    """What is wrong with `max_children` under the strategy, given as a word."""
    if strategy == Strategy.SIMPLE_ONE_FOR_ONE.value:
        return None
    return sentence(f"has no meaning under {strategy}", "strategy simple_one_for_one with it")


def partition_fault(strategy: object, children: int, wanted: int = 1) -> str | None:
    """What is wrong with `partitions` under the strategy, given as a word, and so many children.

    >>> partition_fault("one_for_one", 2)
    'has no meaning for 2 children; expected exactly one, of which it makes so many'
    """
    if strategy == Strategy.SIMPLE_ONE_FOR_ONE.value:
        return sentence(f"has no meaning under {strategy}", "another strategy, or no partitions")
    if children == wanted:
        return None
    count = "no children" if children == 0 else f"{children} children"
    return sentence(f"has no meaning for {count}", "exactly one, of which it makes so many")


def backoff_fault(initial_ms: float, max_ms: float) -> str | None:
    """What is wrong with the longest delay of a back-off.

    >>> backoff_fault(100, 50)
    'is 50, less than initial; expected at least 100'
    """
    if max_ms >= initial_ms:
        return None
    return sentence(f"is {max_ms:g}, less than initial", f"at least {initial_ms:g}")


def label_fault(label: str, template: ChildSpec) -> str | None:
    """What is wrong with the label of a child made from a template, whose name it becomes.

    >>> label_fault("a b", None)  # doctest: +ELLIPSIS
    'is the text "a b"; expected 1 to 200 letters, ...'
    """
    wrong = fault(keys.WORKER["worker"], label)
    return remote_fault(label) if wrong is None and isinstance(template, RemoteSpec) else wrong


def remote_fault(name: object) -> str | None:
    """What is wrong with the name of a remote child, beyond what holds for all names.

    >>> remote_fault("eu.billing")
    'has a dot; expected a name without one: its workers are called as eu-billing.WORKER'
    """
    if not isinstance(name, str) or "." not in name:
        return None
    wanted = f"a name without one: its workers are called as {name.replace('.', '-')}.WORKER"
    return sentence("has a dot", wanted)


def args_fault(args: object) -> str | None:
    """What is wrong with the arguments of a worker.

    >>> args_fault({1: "x"})
    'has the argument names 1; expected text, in quotes if need be'
    """
    if type(args) is dict and {*map(type, args)} <= TEXT:
        return None
    if wrong := fault(keys.WORKER["args"], args):
        return wrong
    assert isinstance(args, Mapping)
    names = [name for name in args if not isinstance(name, str)]
    if not names:
        return None
    some = ", ".join(shown(name) for name in names[:MAX_NAMES])
    return sentence(f"has the argument names {some}", "text, in quotes if need be")


def own_args_fault(template: ChildSpec, args: object) -> str | None:
    """What is wrong with the arguments of its own that a child made from a template gets.

    >>> own_args_fault(RemoteSpec("eu", "./eu.yaml"), {"size": 1})
    'are given, and the template is no worker; expected no arguments with this template'
    """
    if not isinstance(template, WorkerSpec):
        wrong = "are given, and the template is no worker"
        return sentence(wrong, "no arguments with this template")
    return args_fault(args)


DEPTH_FAULT = sentence(
    f"is more than {MAX_DEPTH} supervisors deep", f"at most {MAX_DEPTH} levels of supervisors"
)
