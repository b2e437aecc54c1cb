"""The class of a node shows all that its instances can do."""

from __future__ import annotations

import inspect
import pydoc

import pytest

from ssm_cli import Node, StateMachine, Supervisor, Worker

NODE = Node(Supervisor("r", children=[Worker("w", StateMachine(step=lambda m, s: (s, m)))]))
BOUND = sorted(n for n, value in vars(NODE).items() if callable(value) and not n.startswith("_"))


@pytest.mark.parametrize("name", BOUND)
def test_help_of_the_class_has_each_method_with_its_signature(name: str) -> None:
    assert (
        inspect.signature(getattr(Node, name)).parameters.keys()
        == {
            "self": 0,
            **inspect.signature(getattr(NODE, name)).parameters,
        }.keys()
    )
    assert getattr(Node, name).__doc__ == getattr(NODE, name).__doc__


def test_help_shows_them() -> None:
    text = pydoc.plain(pydoc.render_doc(Node))
    assert [name for name in BOUND if f"    {name}(" not in text and f" {name}(" not in text] == []


def test_what_is_the_parts_own_is_not_shown() -> None:
    assert not hasattr(Node, "settle")
    assert not hasattr(Node, "nothing")


def test_a_call_finds_the_method_at_the_instance_alone() -> None:
    """One on the class behind it would make each call slower on Python 3.12 and later."""
    assert "call" not in {name for kind in Node.__mro__ for name in vars(kind)}
