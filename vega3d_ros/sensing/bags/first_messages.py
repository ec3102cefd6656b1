"""How a recording's messages are taken in: what it says late, but holds from its start, first.

These are static transforms and calibrations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vega3d_ros.sensing.calibration import is_calibrated
from vega3d_ros.sensing.tf_topics import is_static

if TYPE_CHECKING:
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics
    from vega3d_ros.sensing.frame_assembly import FrameAssembler
    from vega3d_ros.sensing.transform_gate import GatedTransforms


def take_in_first(
    bag: Bag, topics: CameraTopics, assembler: FrameAssembler, transforms: GatedTransforms
) -> None:
    """Take in static transforms and the first good calibrations before any image.

    What is damaged is left out, and counted by the recording.
    """
    assembler.calibration.topic = topics.image
    assembler.expect_depth(topics.depth, topics.depth_camera_info)
    static = [name for name in topics.tf if is_static(name)]
    # The first transform of a frame holds until another one comes.
    for message in reversed([message for _, message in bag.decoded(static)]):
        transforms.insert(message, bag.start_ns, static=True)
    for topic, add in (
        (topics.camera_info, assembler.add_camera_info),
        (topics.depth_camera_info, assembler.registration.add_camera_info),
    ):
        infos = (info for _, info in bag.decoded([topic] if topic else []))
        first = next((info for info in infos if is_calibrated(info)), None)
        if first is not None:
            add(first)


def take_in(
    topic: str,
    message: Any,
    now_ns: int,
    topics: CameraTopics,
    assembler: FrameAssembler,
    transforms: GatedTransforms,
) -> list[str]:
    """Take in a message of any topic of a camera but its images.

    Args:
        topic: Its topic.
        message: The decoded message.
        now_ns: When it was recorded.
        topics: Those of the camera.
        assembler: Gets depth and calibrations.
        transforms: Get the others.

    Returns:
        Why transforms were refused, one sentence each.
    """
    if topic == topics.depth:
        assembler.add_depth(message, now_ns)
    elif topic == topics.camera_info:
        assembler.add_camera_info(message)
    elif topic == topics.depth_camera_info:
        assembler.registration.add_camera_info(message)
    else:
        return transforms.insert(message, now_ns, static=is_static(topic))
    return []
