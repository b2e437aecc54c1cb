"""Which nodes are there: only what has changed is told, and nobody is told dead who was before."""

from __future__ import annotations

import pytest

from ssm_cli.cluster.link.frames import NodeSeen
from ssm_cli.cluster.link.presence import DOWN_S, Presence, step_presence
from ssm_cli.cluster.protocol.messages import Advert

Look = tuple[float, list[Advert]]


def n1(beat: int, boot: str = "a") -> Advert:
    return Advert("n1", beat=beat, boot=boot, host="h")


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        pytest.param([(0, [n1(1)]), (2, [n1(3)]), (4, [n1(5)])], [], id="there all the time"),
        pytest.param([(0, [n1(9)]), (2, [n1(9)]), (90, [n1(9)])], [], id="dead before we came"),
        pytest.param([(0, [n1(9)]), (90, [n1(9)]), (92, [n1(1, "b")])], [], id="and back"),
        pytest.param([(0, []), (2, [n1(1)])], [(2, True)], id="comes"),
        pytest.param([(0, [n1(1)]), (2, [])], [(2, False)], id="leaves at once"),
        pytest.param([(0, [n1(1)]), (2, [n1(2)]), (4, []), (6, [])], [(4, False)], id="leaves"),
        pytest.param(
            [(0, [n1(1)]), (2, [n1(2)]), (2 + DOWN_S - 0.1, [n1(2)])], [], id="is slow"
        ),
        pytest.param(
            [(0, [n1(1)]), (2, [n1(2)]), (2 + DOWN_S, [n1(2)]), (9, [n1(2)]), (11, [n1(3)])],
            [(2 + DOWN_S, False), (11, True)],
            id="hangs and goes on",
        ),
        pytest.param(
            [(0, [n1(5)]), (2, [n1(6)]), (4, [n1(1, "b")])], [], id="starts again within a look"
        ),
        pytest.param(
            [(0, [n1(5)]), (2, [n1(6)]), (9, [n1(6)]), (99, [])], [(9, False)], id="is told once"
        ),
    ],
)  # fmt: skip
def test_a_node_is_told_when_it_comes_and_when_it_goes(
    looks: list[Look], told: list[tuple[float, bool]]
) -> None:
    presence, said = Presence(), list[tuple[float, bool]]()
    for at_s, found in looks:
        presence, seen = step_presence(presence, found, at_s)
        said += [(at_s, one.up) for one in seen]
    assert said == told


def test_one_of_many_is_told_with_its_computer() -> None:
    presence, _ = step_presence(Presence(), [Advert("n2"), n1(1)], 0.0)
    presence, _ = step_presence(presence, [Advert("n2", beat=1), n1(2)], 1.0)
    assert step_presence(presence, [Advert("n2", beat=2)], 2.0)[1] == [
        NodeSeen("n1", up=False, host="h")
    ]
