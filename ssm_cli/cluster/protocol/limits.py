"""Limits that do not fit together: what `ssm check` says of remote children."""

from __future__ import annotations

from ssm_cli.spec.model import RemoteSpec

ELECTION_S = 10.0  # until three servers have chosen a leader, at the longest
STARTED_S = 30.0  # how long a start is waited for
STOPPED_S = 60.0  # how long a stop is waited for


def clashing(spec: RemoteSpec, servers: int, init_s: float) -> list[str]:
    """Return the limits of a remote child that do not fit together, in words.

    Args:
        spec: the child.
        servers: how many there are; 0 where that is not known.
        init_s: how long the workers of its tree may take to start, one after the other; 0 where
            that is not known.

    >>> clashing(RemoteSpec("billing", "billing.yaml", lease_s=2.0), 3, 0.0)[0][:39]
    'billing: a lease of 2 s is shorter than'
    >>> clashing(RemoteSpec("billing", "billing.yaml"), 3, 5.0)
    []
    """
    found = []
    if servers >= 3 and spec.lease_s is not None and spec.lease_s < ELECTION_S:
        found.append(
            f"{spec.id}: a lease of {spec.lease_s:g} s is shorter than an election of {servers} "
            f"servers, up to {ELECTION_S:g} s, for which it then stands still; leave `lease` out"
        )
    if init_s > STARTED_S:
        found.append(
            f"{spec.id}: its workers may take {init_s:g} s to start (`init_timeout`), and a start "
            f"is waited for {STARTED_S:g} s"
        )
    limit = spec.shutdown_ms
    if limit == "infinity" or (isinstance(limit, int) and limit > STOPPED_S * 1000):
        found.append(
            f"{spec.id}: its `shutdown` is {limit}, and a stop is waited for "
            f"{STOPPED_S * 1000:g} ms at most"
        )
    return found
