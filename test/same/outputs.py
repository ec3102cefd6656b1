"""Everything that must not change while the package is rearranged, computed anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rosbags.highlevel import AnyReader
from safetensors.torch import load_file

from vega3d_ros.core.frames import Clip, Frame
from vega3d_ros.models.fusion.gates import build_fusion
from vega3d_ros.perception.keyframe_encoder import Patches
from vega3d_ros.perception.perceiver import Perceiver
from vega3d_ros.sensing.bags.reader import open_bag, read_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("VEGA3D_SHARED", ROOT.parent / "shared"))
BAG = ROOT / "vega3d_ros" / "demo" / "bag"
OBJECTS = "/perception/objects"

# The first frame of each clip among those of the bag, which come ten times a second.
CLIP_STARTS = (20, 110, 200)
FRAMES_BETWEEN = 4
CLIP_LENGTH = 8
QUESTIONS = (
    "How many chairs are there?",
    "How many windows are there?",
    "What colour is the floor lamp?",
    "What colour is the sofa?",
    "Is there a shelf in the video?",
    "Is there a cabinet in the video?",
    "What is the longest side of the table in centimetres?",
    "How far apart are the floor lamp and the cabinet in metres?",
    "Which is closer to the camera, the window or the table?",
)
DESCRIPTIONS = (
    "floor lamp",
    "the blue floor lamp",
    "the cabinet",
    "window",
    "the sofa on the left",
    "a table",
    "bed",
    "refrigerator",
)
RELATIONS = (
    ("floor lamp", "cabinet", "camera"),
    ("window", "table", "camera"),
    ("sofa", "window", "map"),
    ("window", "air conditioner", "floor lamp"),
)
STAGES = ("semantic", "generative", "projected", "tokens")
# What differs between two runs of one commit, or says what they were made with.
PROVENANCE = ("versions", "model", "command", "hardware", "date", "commit")
TIMES = ("wall_s", "recorded_s_per_wall_s", "latency_ms")
# Slower where the machine was too busy to understand every clip. Not below an eighth: transforms
# would come later than an image waits for them.
RATES = (0.25, 0.125)


class MissingError(Exception):
    """What outputs are computed from is not there; the message says what."""


class IncompleteError(Exception):
    """Outputs that cannot be compared, for some are not there; the message says why."""


def evaluation() -> Any:
    """``vega3d evaluate`` of the demo's recording: its results, without times and provenance."""
    with TemporaryDirectory() as folder:
        vega3d("evaluate", BAG, "--model", "nano", "--device", "cpu", "--out", folder)
        results = json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))
    results = {name: value for name, value in results.items() if name not in PROVENANCE}
    for recording in results["recordings"].values():
        del recording["bag"]  # a path of this machine
        for name in TIMES:
            del recording["figures"][name]
    return results


def clips() -> Any:
    """Nano on three clips of the demo's recording, each with and without depth and poses.

    Of the tokens every eighth channel of every seventh token is kept, and the norm of each.
    """
    perceiver = Perceiver.from_pretrained("nano", device="cpu")
    with open_bag(BAG) as bag:
        frames = list(read_frames(bag, bag.find_topics()))
    found = {}
    for start in CLIP_STARTS:
        chosen = frames[start :: FRAMES_BETWEEN + 1][:CLIP_LENGTH]
        found[f"from frame {start}"] = {
            "frames": [_frame(frame) for frame in chosen],
            "tokens": _tokens(perceiver, chosen),
            **{
                name: _scene(perceiver, Clip(tuple(change(frame) for frame in chosen)))
                for name, change in VARIANTS.items()
            },
        }
    return found


def _without_depth(frame: Frame) -> Frame:
    return replace(frame, depth_m=None)


def _without_pose(frame: Frame) -> Frame:
    return replace(frame, pose=None, fixed_frame="")


VARIANTS: dict[str, Callable[[Frame], Frame]] = {
    "depth and poses": lambda frame: frame,
    "poses": _without_depth,
    "depth": _without_pose,
    "images alone": lambda frame: _without_depth(_without_pose(frame)),
}


def _frame(frame: Frame) -> Any:
    assert frame.depth_m is not None
    known = np.isfinite(frame.depth_m)
    return plain(
        {
            "stamp_ns": frame.stamp_ns,
            "frame_id": frame.frame_id,
            "fixed_frame": frame.fixed_frame,
            "camera": frame.camera,
            "pose": frame.pose,
            "shape": list(frame.image.shape),
            "mean colour": frame.image.mean((0, 1), dtype=np.float64),
            "pixels with depth": int(known.sum()),
            "mean depth": float(frame.depth_m[known].mean(dtype=np.float64)),
        }
    )


def _tokens(perceiver: Perceiver, frames: list[Frame]) -> Any:
    images = torch.stack([torch.from_numpy(np.array(frame.image)) for frame in frames])
    encoded = perceiver.encode(
        images.permute(0, 3, 1, 2).float() / 255, [frame.stamp_ns for frame in frames]
    )
    kept = {}
    for name in STAGES:
        rows = getattr(encoded, name).flatten(0, 2).float()
        kept[name] = rows[::7, ::8].numpy()
        kept[f"norms of {name}"] = rows.norm(dim=1).numpy()
    return {**kept, "gate": _array(encoded.gate)}


def _scene(perceiver: Perceiver, clip: Clip) -> Any:
    perceiver.reset()
    scene = perceiver.observe(clip)
    answers = [scene.ask(question) for question in QUESTIONS]
    relations = [_told(partial(scene.relation, *words)) for words in RELATIONS]
    return plain(
        {
            "objects": scene.objects,
            "gate": _array(scene.gate).mean((1, 2), dtype=np.float64),
            "answers": [
                {
                    "question": answer.question,
                    "text": answer.text,
                    "confidence": answer.confidence,
                    "objects": [item.label for item in answer.objects],
                }
                for answer in answers
            ],
            "grounded": dict(zip(DESCRIPTIONS, scene.ground_all(DESCRIPTIONS), strict=True)),
            "relations": [
                {"words": words, "relation": relation}
                for words, relation in zip(RELATIONS, relations, strict=True)
            ],
        }
    )


def _array(values: Any) -> Any:
    """A tensor or an array of the package as an array."""
    assert values is not None
    return np.asarray(values, np.float32)


def _told(call: Callable[[], Any]) -> Any:
    """What a call gives; "refused" where the package says that it cannot be."""
    try:
        return call()
    except Exception as error:
        if not type(error).__module__.startswith("vega3d_ros."):
            raise
        return "refused"


def fusion() -> Any:
    """Every fusion method of both official branches on the golden inputs."""
    golden = load_file(_shared("golden/fusion.safetensors"))
    cases = sorted(name.removesuffix(".fused") for name in golden if name.endswith(".fused"))
    found = {}
    for case in cases:
        prefix = f"{case}.state."
        state = {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}
        method = build_fusion(case.partition(".")[2], 32, heads=4, layers=2).eval()
        method.load_state_dict(state)
        inputs = (golden[f"{case}.{name}"][:1] for name in ("semantic", "generative"))
        with torch.inference_mode():
            fused = method(
                *(tokens.reshape(1, 4, 4, 32) for tokens in inputs), golden.get(f"{case}.context")
            )
        gate = None if fused.gate is None else fused.gate.numpy()
        found[case] = {"tokens": fused.tokens.numpy(), "gate": gate}
    return found


def official() -> Any:
    """The official checkpoint of random weights on its golden inputs."""
    folder = _shared("golden/official_sr")
    expected = load_file(folder / "expected.safetensors")
    frames = expected["frames"]
    noise = expected["noise"]
    patches = Patches(expected["pixel_values"], expected["image_grid_thw"])
    size = {"width": 208, "height": 128}
    perceiver = Perceiver.from_pretrained(folder / "checkpoint", prior=size)
    encoded = perceiver.encode(frames, [1, 2, 3], noise=noise, patches=patches)
    clip = Clip(
        tuple(
            Frame(i + 1, image.permute(1, 2, 0).numpy(), "camera")
            for i, image in enumerate(frames)
        )
    )
    scene = perceiver.observe(clip, noise=noise, patches=patches)
    return {
        **{name: _array(getattr(encoded, name)) for name in STAGES},
        "gate": _array(scene.gate),
        "logits": _array(scene.reading.logits(expected["input_ids"])),
    }


def node_objects(scenes: int) -> Any:
    """``~/objects`` of a live node to which the demo's recording is played, by stamp.

    Args:
        scenes: How many there are where the node has time for every clip.

    Raises:
        MissingError: Without ROS.
        IncompleteError: If there are fewer scenes.
    """
    if not os.environ.get("AMENT_PREFIX_PATH"):
        msg = "no ROS is sourced (AMENT_PREFIX_PATH is empty); run it by `make same`"
        raise MissingError(msg)
    found: dict[str, Any]
    for rate in RATES:
        with TemporaryDirectory() as folder:
            vega3d("replay", BAG, "--model", "nano", "--rate", rate, "--out", folder)
            (recorded,) = Path(folder).rglob("output_bag")
            found = dict(_published(recorded))
        if len(found) >= scenes:
            return found
    msg = (
        f"the node understood {len(found)} of {scenes} clips at {RATES[-1]} of the speed: try "
        "again on a quiet machine; if nothing else runs, the node chooses fewer keyframes or "
        "takes longer than before"
    )
    raise IncompleteError(msg)


def _published(folder: Path) -> Iterator[tuple[str, Any]]:
    with AnyReader([folder]) as bag:
        topic = [item for item in bag.connections if item.topic == OBJECTS]
        for connection, _, data in bag.messages(topic):
            message: Any = bag.deserialize(data, connection.msgtype)
            yield (
                str(_nanoseconds(message.header.stamp)),
                {
                    "frame_id": message.header.frame_id,
                    "clip_start_ns": _nanoseconds(message.clip_start),
                    "clip_frames": int(message.clip_frames),
                    "queries": len(message.queries),
                    # Not in order: scores that are nearly equal may change places on another
                    # processor.
                    "objects": {item.id: _object(item) for item in message.objects},
                    "best first": _falling([item.score for item in message.objects]),
                },
            )


def _object(item: Any) -> Any:
    place, turn, size = item.pose.pose.position, item.pose.pose.orientation, item.size
    covariance = np.asarray(item.pose.covariance, np.float64).reshape(6, 6)
    return {
        "label": item.label,
        "query": item.query,
        "score": float(item.score),
        "last_seen_ns": _nanoseconds(item.last_seen),
        "position": [float(value) for value in (place.x, place.y, place.z)],
        "orientation": [float(value) for value in (turn.x, turn.y, turn.z, turn.w)],
        "size": [float(value) for value in (size.x, size.y, size.z)],
        "covariance": covariance[np.triu_indices(6)].tolist(),
        "orientation_estimated": bool(item.orientation_estimated),
        "observations": int(item.observations),
        "depth_coverage": float(item.depth_coverage),
    }


def _falling(scores: list[float]) -> bool:
    return scores == sorted(scores, reverse=True)


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def plain(value: Any) -> Any:
    """A tree of plain values: dataclasses by the names of their fields."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def vega3d(*words: object) -> None:
    """Run the command line.

    Raises:
        RuntimeError: If it fails; with its output.
    """
    call = "import sys; from vega3d_ros.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", call, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"vega3d {' '.join(map(str, words))} failed:\n{done.stdout}{done.stderr}"
        raise RuntimeError(msg)


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        msg = f"{path} is not there; the environment variable VEGA3D_SHARED says where to look"
        raise MissingError(msg)
    return path
