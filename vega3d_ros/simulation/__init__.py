"""Simulated rooms with exact ground truth: clips for training and ROS 2 bags for demos.

``rooms`` describes rooms, ``primitives`` and ``furniture`` the objects in them; ``planning`` fills
rooms, ``clip_paths`` and ``camera_path`` lead a camera through them, ``renderer`` makes images
(MuJoCo over EGL). ``visibility``, ``questions``, ``referring`` and ``question_sampling`` turn
ground truth into language. ``clips`` makes clips, ``dataset`` stores them, ``recording`` writes
bags.
"""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = ["ClipDataset", "make_questions", "plan_home", "plan_room"]

if TYPE_CHECKING:
    from vega3d_ros.simulation.dataset import ClipDataset
    from vega3d_ros.simulation.planning import plan_home, plan_room
    from vega3d_ros.simulation.questions import make_questions
else:
    __getattr__ = lazily(
        __name__,
        {
            "dataset": ("ClipDataset",),
            "planning": ("plan_home", "plan_room"),
            "questions": ("make_questions",),
        },
    )
