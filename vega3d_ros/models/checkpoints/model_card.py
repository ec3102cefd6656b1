"""The ``README.md`` of a model folder, as the hub shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from vega3d_ros.models.checkpoints.model_paths import needed_parts

if TYPE_CHECKING:
    from collections.abc import Mapping


def model_card(name: str, description: Mapping[str, Any]) -> str:
    """The card of a model: what ``model.json`` says, for people.

    Args:
        name: Of the model.
        description: Of ``model.json``, format 2.
    """
    front: dict[str, Any] = {
        "library_name": "vega3d_ros",
        "tags": ["robotics", "ros2", "spatial-understanding", "3d-grounding"],
    }
    if license_id := description.get("license"):
        front["license"] = license_id
    prior, grounder = description["prior"], description["grounder"]
    size = "" if prior is None else f", {prior['width']}x{prior['height']}"
    fusion, language = description["fusion"], description["language"]
    parts = {
        "Prior": "none" if prior is None else prior["type"] + size,
        "Fusion": "none" if fusion is None else fusion["method"],
        "Language model": "none" if language is None else language["type"],
        "Grounder": "none" if grounder is None else grounder["type"],
        **{
            f"{what.capitalize()}, kept beside it": " or ".join(names)
            for what, names in needed_parts(description).items()
        },
        "Labels": ", ".join(description.get("labels", ())) or "none",
    }
    return f"""---
{yaml.safe_dump(front, sort_keys=True).strip()}
---

# {name}

{description.get("card", "").strip() or "A model of vega3d_ros."}

| part | kind |
|---|---|
{chr(10).join(f"| {part} | {kind} |" for part, kind in parts.items())}

```python
from vega3d_ros import Clip, Perceiver

perceiver = Perceiver.from_pretrained("{name}")
scene = perceiver.observe(Clip.from_bag("BAG"))
print(scene.objects, scene.ask("How far is the chair from the table?").text)
```
"""
