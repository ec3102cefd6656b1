"""The perception node as a process, with a fast deterministic stand-in for the model.

In the map, chairs and balls stand at fixed places and whatever is called "ahead" is two metres
before the camera, as everything is without a map. The question "held FILE" is answered once the
file exists, and "fail" fails. The model "held:FILE" is loaded once the file exists; "missing"
cannot be loaded.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.objects import Answer, SceneObject
from vega3d_ros.perception.relations import RelationError, Viewpoint, relate
from vega3d_ros.ros.perception_node import main

PLACES = {"left": (3.0, 0.4, 0.5), "right": (3.0, -0.4, 0.5)}  # in the map; its y axis points left
AHEAD_M = 2.0


def wait_for_file(path):
    print(f"waiting for {path}", flush=True)
    while not Path(path).exists():
        time.sleep(0.01)


class DummyScene:
    looks = ()

    def __init__(self, clip, queries):
        self.clip = clip
        self.frames_left_out = 0
        self.objects = tuple(
            item
            for i, query in enumerate(queries)
            for item in self._find(query, "left" if i == 0 else "right")
        )
        self.gate = np.full((len(clip), 4, 5), 0.25, np.float32)
        self.stages_ms = {"dummy": 1.0}

    def _find(self, text, side):
        frame = self.clip.frames[-1]
        if frame.camera is None or "unicorn" in text:
            return ()
        pose = frame.pose if self.clip.fixed_frame else SE3.identity()
        center = pose.apply([-0.4 if side == "left" else 0.4, 0.0, AHEAD_M])
        if self.clip.fixed_frame and text != "ahead":
            center = PLACES[side]
        finite = 0.0 if frame.depth_m is None else float(np.isfinite(frame.depth_m).mean())
        return (
            SceneObject(
                label=text,
                query=text,
                score=0.9 if side == "left" else 0.8,
                box=Box3D(center, [0.4, 0.5, 0.6], pose.rotation),
                frame_id=self.clip.output_frame,
                stamp_ns=self.clip.stamp_ns,
                covariance=np.diag([0.01] * 3 + [0.1] * 3),
                orientation_estimated=text != "ball",
                observations=len(self.clip),
                depth_coverage=finite,
            ),
        )

    def ask(self, question):
        if question.startswith("held "):
            wait_for_file(question.split(" ", 1)[1])
        if "fail" in question:
            raise RuntimeError("the dummy was told to fail")
        return Answer(question, f"{len(self.objects)}", 0.75, self.objects, self.clip.stamp_ns)

    def ground(self, text):
        return self._find(text, "left")

    def relation(self, a, b, viewpoint="camera"):
        first, second = self._find(a, "left"), self._find(b, "right")
        if not first or not second:
            raise RelationError(f"{a if not first else b!r} is not in the scene")
        pose = self.clip.frames[-1].pose if self.clip.fixed_frame else None
        return relate(first[0], second[0], Viewpoint.camera(self.clip.output_frame, pose))


class DummyPerceiver:
    def __init__(self):
        self.queries = ("chair", "ball")

    def observe(self, clip):
        return DummyScene(clip, self.queries)

    def reset(self):
        pass


def make(parameters, progress, on_out_of_memory):
    model = parameters.model
    progress("nothing of weight")
    if model == "missing":
        raise FileNotFoundError(
            "no model folder 'missing'; name a shipped model or an existing folder"
        )
    if model.startswith("held:"):
        wait_for_file(model.split(":", 1)[1])
    return DummyPerceiver()


if __name__ == "__main__":
    sys.exit(main(perceiver_factory=make))
