"""Trees of outputs as small files: JSON, and safetensors for the arrays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def write_tree(tree: dict[str, Any], folder: Path, name: str) -> None:
    """Write ``name.json``, and ``name.safetensors`` where the tree holds arrays.

    Args:
        tree: Plain values in dictionaries and lists; arrays only in dictionaries.
        folder: Where to; made where it is not there.
        name: Of the files.
    """
    arrays: dict[str, NDArray[Any]] = {}
    rest = _without_arrays(tree, "", arrays)
    folder.mkdir(parents=True, exist_ok=True)
    # One line for each top-level field, so that a diff of two versions shows which changed.
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in rest.items())
    (folder / f"{name}.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    if arrays:
        (folder / f"{name}.safetensors").write_bytes(save(arrays))


def read_tree(folder: Path, name: str) -> Any:
    """Read what ``write_tree`` wrote."""
    tree = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    file = folder / f"{name}.safetensors"
    for path, array in (load_file(file) if file.exists() else {}).items():
        *parents, last = path.split("/")
        node = tree
        for parent in parents:
            node = node[parent]
        node[last] = array
    return tree


def _without_arrays(tree: Any, path: str, arrays: dict[str, NDArray[Any]]) -> Any:
    if not isinstance(tree, dict):
        return tree
    rest = {}
    for key, value in tree.items():
        if isinstance(value, np.ndarray):
            arrays[f"{path}{key}"] = np.ascontiguousarray(value)
        else:
            rest[key] = _without_arrays(value, f"{path}{key}/", arrays)
    return rest
