"""``objects.json``: the object map at the end of a recording, for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vega3d_ros.core.json_io import finite, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vega3d_ros.core.objects import SceneObject

OBJECTS = "objects.json"


def write_objects(
    file: Path, objects: Sequence[SceneObject], fixed_frame: str, start_ns: int
) -> None:
    """Write the objects of one frame, those seen most often first.

    Args:
        file: Replaced as a whole.
        objects: The object map.
        fixed_frame: Whose objects are written; where none is in it, as without poses, those in
            the frame of the last.
        start_ns: Start of the recording, from which ``last_seen_s`` counts.
    """
    frames = {item.frame_id for item in objects}
    frame = fixed_frame if fixed_frame in frames or not objects else objects[-1].frame_id
    kept = [item for item in objects if item.frame_id == frame]
    kept.sort(key=lambda item: (-item.observations, -item.score, item.id))
    listed = [_plain(item, start_ns) for item in kept]
    write_json(file, finite({"frame_id": frame, "objects": listed}))


def _plain(item: SceneObject, start_ns: int) -> dict[str, Any]:
    """Metres and radians in the frame; seconds of the recording."""
    return {
        "id": item.id,
        "label": item.label,
        "score": float(item.score),
        "center": [float(value) for value in item.box.center],
        "size": [float(value) for value in item.box.size],
        "yaw": float(item.box.yaw),
        "views": item.observations,
        "last_seen_s": (item.stamp_ns - start_ns) * 1e-9,
        "depth_source": item.source,
    }
