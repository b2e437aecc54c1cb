"""The examples in docstrings are what happens."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.architecture.source import PACKAGE, Module, modules

WITH_EXAMPLES = [module for module in modules() if ">>> " in module.text]


@pytest.mark.parametrize("module", WITH_EXAMPLES, ids=lambda module: module.name)
def test_the_examples_of_a_module_hold(module: Module) -> None:
    results = doctest.testmod(importlib.import_module(f"{PACKAGE}.{module.name}"))
    assert results.attempted > 0
    assert results.failed == 0
