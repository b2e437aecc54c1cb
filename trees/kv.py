"""The tree of kv.yaml, in Python."""  # noqa: INP001 - a tree file is run by its path

from ssm_cli import Strategy, Supervisor, Worker
from ssm_cli.machines.kv import kv_store

tree = Supervisor(
    "root",
    Strategy.ONE_FOR_ONE,
    [
        Worker("kv1", kv_store),
        Supervisor(
            "storage",
            Strategy.REST_FOR_ONE,
            [Worker("kv2", kv_store), Worker("kv3", kv_store)],
        ),
    ],
    intensity=3,
    period=5,
)
