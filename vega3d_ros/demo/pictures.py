"""The demo's pictures: frames with boxes above their gates, and the map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from vega3d_ros.viz.drawing import box_in_camera, contact_sheet, draw_objects, enlarged
from vega3d_ros.viz.floor_plan import top_down_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.core.geometry import SE3
    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.evaluation.run_log import SceneRecord
    from vega3d_ros.evaluation.sources.live import RecordedOutputs
    from vega3d_ros.viz.floor_plan import TrueObject

    Image = NDArray[np.uint8]

COLUMNS = 3
_WIDTH_PX = 448


def choose_scenes(
    outputs: RecordedOutputs,
    frames: Mapping[int, Frame],
    shown: Mapping[int, float],
    count: int = COLUMNS,
) -> list[SceneRecord]:
    """The scenes to show: from each of ``count`` parts the one whose frame shows most.

    Scenes with a gate image are preferred. ``shown`` is ``Truth.shown``; where it is unknown, the
    found objects decide.
    """

    def worth(scene: SceneRecord) -> float:
        known = shown.get(scene.stamp_ns)
        return _visible(scene, frames[scene.stamp_ns]) if known is None else known

    known = [scene for scene in outputs.scenes if scene.stamp_ns in frames]
    scenes = [scene for scene in known if scene.stamp_ns in outputs.gates] or known
    if not scenes:
        return []
    first, last = scenes[0].stamp_ns, scenes[-1].stamp_ns
    part = max(1, (last - first) // count + 1)
    chosen = []
    for i in range(count):
        begin = first + i * part
        inside = [scene for scene in scenes if begin <= scene.stamp_ns < begin + part]
        if inside:
            chosen.append(max(inside, key=worth))
    return chosen


def _visible(scene: SceneRecord, frame: Frame) -> float:
    """Sum of the scores of the objects with their centres in the image."""
    if frame.camera is None:
        return 0.0
    total = 0.0
    for item in scene.objects:
        box = box_in_camera(item.box, item.frame_id, frame)
        if box is not None:
            u, v = frame.camera.project(box.center)
            inside = 0 <= u < frame.camera.width and 0 <= v < frame.camera.height
            total += item.score * inside
    return total


def frames_picture(
    scenes: Sequence[SceneRecord],
    frames: Mapping[int, Frame],
    gates: Mapping[int, Image],
    start_ns: int,
) -> Image | None:
    """Frames with their 3D boxes, each above its gate image; None without scenes."""
    if not scenes:
        return None
    boxes, heat, captions = [], [], []
    for scene in scenes:
        frame = frames[scene.stamp_ns]
        picture = enlarged(frame.picture, _WIDTH_PX)
        boxes.append(draw_objects(picture, scene.objects, frame))
        gate = gates.get(scene.stamp_ns, picture)
        height, width = picture.shape[:2]
        heat.append(
            cv2.resize(gate, (width, height), interpolation=cv2.INTER_AREA).astype("uint8")
        )
        captions.append(f"t = {(scene.stamp_ns - start_ns) * 1e-9:.1f} s")
    images, titles = boxes, [f"{caption}: objects found" for caption in captions]
    if gates:
        images = boxes + heat
        titles += [f"{caption}: gate, share of the generative tokens" for caption in captions]
    return contact_sheet(images, len(boxes), titles)


def map_picture(
    objects: Sequence[SceneObject], truth: Sequence[TrueObject], path: Mapping[int, SE3]
) -> Image:
    """The map from above, with the camera's path in the order of its stamps."""
    return top_down_map(objects, truth, [path[stamp] for stamp in sorted(path)])
