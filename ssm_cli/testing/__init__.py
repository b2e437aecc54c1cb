"""Tools to test a tree of your own: nodes on a manual clock, faults in all places, old inputs.

    from ssm_cli.testing import check_policy

    def test_the_tree_survives_two_faults_at_any_time():
        check_policy("tree.yaml", faults=2).assert_survives()

For pytest there is a fixture: `from ssm_cli.testing import start_tree` in `conftest.py`.
"""

from ssm_cli.testing.nodes import Timed, timed
from ssm_cli.testing.outcomes import Tried, chaos, check_policy, fuzz, replay


def __getattr__(name: str) -> object:
    """Return `start_tree`, the fixture, which needs pytest."""
    if name == "start_tree":
        from ssm_cli.testing.fixtures import start_tree  # noqa: PLC0415 - pytest for its users alone

        return start_tree
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Timed", "Tried", "chaos", "check_policy", "fuzz", "replay", "timed"]
