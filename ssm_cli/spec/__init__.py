"""Frozen child specs and supervisor flags, and how tree files become them.

`model` has the specs; `load.load_tree` reads a file, `validate` says what is wrong with a spec,
`schema.json_schema` describes the YAML form. `keys` is the one table that all of them follow.
"""
