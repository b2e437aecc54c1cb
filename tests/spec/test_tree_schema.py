"""The schema says what the table of keys says, and the trees that ship are good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ssm_cli.spec.keys import KEYS, accepts, keys_on
from ssm_cli.spec.load import load_tree
from ssm_cli.spec.model import (
    DEFAULT_OPTIONS,
    Backoff,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
    walk,
)
from ssm_cli.spec.schema import json_schema

TREES = Path(__file__).parents[2] / "trees"


def test_the_schema_beside_the_trees_is_the_printed_one() -> None:
    text = (TREES / "tree.schema.json").read_text(encoding="utf-8")
    assert text == json.dumps(json_schema(), indent=2) + "\n"


def test_every_key_is_in_the_schema_with_its_description_and_default() -> None:
    schema = json_schema()
    places: dict[str, dict[str, Any]] = {"root": schema, **schema["$defs"]}
    for key in KEYS:
        for place in key.on:
            said = places[place]["properties"][key.name]
            assert said["description"] == key.doc
            assert said.get("default") == key.default
            assert (key.name in places[place]["required"]) == key.required
    assert all(places[place]["additionalProperties"] is False for place in places)


def test_every_default_is_a_value_that_its_key_takes() -> None:
    assert all(accepts(key, key.default) for key in KEYS if key.default is not None)


def test_the_defaults_of_the_table_are_those_of_the_specs() -> None:
    specs = {
        "worker": DEFAULT_OPTIONS,
        "supervisor": SupervisorSpec("s"),
        "root": SupervisorSpec("r"),
        "backoff": Backoff(),
    }
    for place, spec in specs.items():
        for key in keys_on(place).values():  # type: ignore[arg-type]  # the keys are the places
            if hasattr(spec, key.attribute) and key.kind not in {"name", "children"}:
                value = getattr(spec, key.attribute)
                assert getattr(value, "value", value) == key.default, key.name


@pytest.mark.parametrize("file", sorted(TREES.glob("*.yaml")), ids=lambda file: file.name)
def test_each_yaml_tree_begins_by_naming_its_schema(file: Path) -> None:
    first, _, _ = file.read_text(encoding="utf-8").partition("\n")
    assert first == "# yaml-language-server: $schema=tree.schema.json"


@pytest.mark.parametrize(
    "file", sorted([*TREES.glob("*.yaml"), TREES / "kv.py"]), ids=lambda file: file.name
)
def test_each_tree_that_ships_is_good(file: Path) -> None:
    assert load_tree(file).children


def test_the_tree_in_python_is_the_one_in_yaml() -> None:
    assert load_tree(TREES / "kv.py") == load_tree(TREES / "kv.yaml")


def test_the_zoo_shows_every_strategy_and_workers_of_both_kinds() -> None:
    nodes = [node for _, node in walk(load_tree(TREES / "zoo.yaml"))]
    strategies = {node.strategy for node in nodes if isinstance(node, SupervisorSpec)}
    assert strategies == set(Strategy)
    assert {isinstance(node.start, type) for node in nodes if isinstance(node, WorkerSpec)} == {
        True,
        False,
    }
