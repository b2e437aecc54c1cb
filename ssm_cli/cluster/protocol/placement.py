"""Placement: which node a subtree goes to, and why another one does not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ssm_cli.cluster.protocol.messages import PROTOCOL, Advert


def misfit(advert: Advert, place: Mapping[str, str]) -> str:
    """Why a node does not fit; "" where it does.

    >>> misfit(Advert("n1", labels={"zone": "a"}), {"zone": "b"})
    'has zone=a, wanted zone=b'
    """
    if advert.protocol != PROTOCOL:
        return f"speaks protocol {advert.protocol}, wanted {PROTOCOL}"
    if advert.draining:
        return "is being drained"
    for label, wanted in place.items():
        if label == "node":
            if advert.node != wanted:
                return f"is {advert.node}, wanted {wanted}"
        elif advert.labels.get(label) != wanted:
            has = advert.labels.get(label)
            return (
                f"has {'no ' + label if has is None else f'{label}={has}'}, wanted {label}={wanted}"
            )
    return ""


def fitting(
    adverts: Iterable[Advert],
    place: Mapping[str, str],
    *,
    before: str = "",
    lost: Sequence[str] = (),
    placed: Mapping[str, int] | None = None,
) -> list[str]:
    """The nodes that fit, best first; the same for everyone who sees the same adverts.

    Args:
        adverts: the nodes that are there.
        place: labels with the values they must have; `node` stands for the name.
        before: where the subtree was; preferred, since its files are warm there.
        lost: nodes that did not answer just now; they come last.
        placed: how many subtrees were placed on a node that its advert does not count yet.

    >>> nodes = [Advert("n2"), Advert("n1"), Advert("n3", load=4)]
    >>> fitting(nodes, {}), fitting(nodes, {}, before="n3"), fitting(nodes, {}, lost=["n1"])
    (['n1', 'n2', 'n3'], ['n3', 'n1', 'n2'], ['n2', 'n3', 'n1'])
    >>> fitting(nodes, {}, placed={"n1": 2})
    ['n2', 'n1', 'n3']
    """
    more = placed or {}
    fit = [advert for advert in adverts if not misfit(advert, place)]
    fit.sort(key=lambda a: (a.node in lost, a.node != before, a.load + more.get(a.node, 0), a.node))
    return [advert.node for advert in fit]


def best_for_each(adverts: Sequence[Advert], places: Iterable[Mapping[str, str]]) -> list[str]:
    """The nodes that subtrees go to that are placed one after the other; "" where none fits.

    >>> nodes = [Advert("n1", load=3), Advert("n2", load=2)]
    >>> best_for_each(nodes, [{}, {}, {"node": "n3"}, {}, {}])
    ['n2', 'n1', '', 'n2', 'n1']
    """
    placed: Counter[str] = Counter()
    found = []
    for place in places:
        best, *_ = *fitting(adverts, place, placed=placed), ""
        placed[best] += 1
        found.append(best)
    return found
