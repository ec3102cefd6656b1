"""A model in a few lines: sees one chair and one ghost wherever it looks, and counts its work."""

from __future__ import annotations

import os
import time

import numpy as np

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.core.objects import Answer, SceneObject
from vega3d_ros.perception.relations import RelationError, Viewpoint, relate


def found(clip, label, center, score):
    return SceneObject(
        label=label,
        query=label,
        score=score,
        box=Box3D.upright(center, [0.6, 0.6, 1.0], 0.3),
        frame_id=clip.output_frame,
        stamp_ns=clip.stamp_ns,
        covariance=np.eye(6) * 0.01,
        orientation_estimated=True,
        observations=len(clip),
        depth_coverage=1.0,
    )


class FakeScene:
    looks = ()

    def __init__(self, clip, frames_left_out=0):
        self.clip = clip
        self.frames_left_out = frames_left_out
        # It drifts a little from scene to scene, so that the memory has something to do.
        drift = 0.01 * (clip.stamp_ns // 10**8 % 5)
        self.objects = (
            found(clip, "chair", [2.2 + drift, 0.0, 0.5], 0.9),
            found(clip, "table", [6.0, 3.0, 0.5], 0.6),
            found(clip, "vase", [1.0, 1.0, 0.5], 0.1),
        )
        self.gate = np.full((len(clip), 3, 4), 0.25, np.float32)
        self.stages_ms = {"encode": 2.0, "read": 1.0}

    def ask(self, question):
        if "colour" in question:
            raise ValueError("no colours here")
        if "explode" in question:
            raise RuntimeError("as told")
        return Answer(question, "2", 0.75, self.objects, self.clip.stamp_ns)

    def relation(self, a, b, viewpoint="camera"):
        known = {item.label: item for item in self.objects}
        if a not in known or b not in known:
            raise RelationError(f"{a} or {b} is not here")
        pose = self.clip.frames[-1].pose
        return relate(known[a], known[b], Viewpoint.camera(self.clip.output_frame, pose))


class FakePerceiver:
    def __init__(self):
        self.queries = ("chair", "table", "vase")
        self.observed = []
        self.frames_left_out = 0

    def observe(self, clip):
        self.observed.append(clip.stamp_ns)
        return FakeScene(clip, self.frames_left_out)

    def reset(self):
        pass


class Deadly(FakePerceiver):
    """Ends its process at the third scene of a bag whose frames are 100 wide."""

    scenes = 0

    def observe(self, clip):
        self.scenes += clip.frames[0].image.shape[1] == 100
        if self.scenes > 2:
            os._exit(9)
        return super().observe(clip)


class Slow(FakePerceiver):
    """Takes longer for a scene than the next one but one takes to come."""

    def observe(self, clip):
        time.sleep(1.2)
        return super().observe(clip)


def load(parameters):
    kinds = {"deadly": Deadly, "slow": Slow}
    return kinds.get(parameters.model, FakePerceiver)()


if __name__ == "__main__":
    import sys

    from vega3d_ros.ros.perception_node import main

    sys.exit(main(perceiver_factory=lambda parameters, *_: load(parameters)))
