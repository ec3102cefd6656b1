"""What a recording says late, but holds from its start: static transforms and calibrations."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.sensing.calibration import is_calibrated
from vega3d_ros.sensing.transform_buffer import insert_transforms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics
    from vega3d_ros.sensing.frame_assembly import FrameAssembler
    from vega3d_ros.sensing.transform_buffer import TransformBuffer

STATIC = "/tf_static"


def take_in_first(
    bag: Bag, topics: CameraTopics, assembler: FrameAssembler, transforms: TransformBuffer
) -> None:
    """Take in static transforms and the first good calibrations before any image.

    What is damaged is left out here; it is told where it is read in its turn.
    """
    assembler.calibration.topic = topics.image
    assembler.expect_depth(topics.depth, topics.depth_camera_info)
    static = [name for name in topics.tf if name.endswith(STATIC)]
    # The first transform of a frame holds until another one comes.
    for message in reversed(list(_decoded(bag, static))):
        insert_transforms(transforms, message, static=True)
    for topic, add in (
        (topics.camera_info, assembler.add_camera_info),
        (topics.depth_camera_info, assembler.registration.add_camera_info),
    ):
        infos = _decoded(bag, [topic] if topic else [])
        first = next((info for info in infos if is_calibrated(info)), None)
        if first is not None:
            add(first)


def _decoded(bag: Bag, names: list[str]) -> Iterator[Any]:
    with suppress(Vega3dError):
        for raw in bag.raw_messages(names):
            with suppress(Vega3dError):
                yield bag.decode(raw)
