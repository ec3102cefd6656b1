"""Makes clips: a room, a camera path through it, images and ground truth."""

from __future__ import annotations

import multiprocessing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.json_io import read_object, write_json
from vega3d_ros.simulation.clip_paths import clip_path
from vega3d_ros.simulation.dataset import (
    CLIPS_PER_SHARD,
    ClipRecord,
    DatasetError,
    read_truths,
    shard_path,
    write_shard,
)
from vega3d_ros.simulation.furniture import FurnitureFolder, read_furniture
from vega3d_ros.simulation.planning import plan_room
from vega3d_ros.simulation.questions import make_questions
from vega3d_ros.simulation.referring import make_referring
from vega3d_ros.simulation.rooms import SPLITS, Room

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Camera
    from vega3d_ros.core.geometry import SE3

WIDTH, HEIGHT, FRAMES = 224, 168, 8
_STEP_NS = 500_000_000
_SETTINGS = "settings.json"


def truth_record(
    room: Room,
    camera: Camera,
    stamps_ns: Sequence[int],
    poses: Sequence[SE3],
    visible_pixels: NDArray[np.int64],
) -> dict[str, Any]:
    """A truth record without questions (see ``dataset`` for the schema).

    ``camera`` has the images' size, ``poses`` are map from optical frame, ``visible_pixels`` is
    [frames, objects].
    """
    return {
        "furniture": room.furniture,
        "fixed_frame": "map",
        "camera": asdict(camera),
        "stamps_ns": list(stamps_ns),
        "poses": [np.round(pose.matrix, 9).tolist() for pose in poses],
        "room": {
            "width_m": room.width_m,
            "depth_m": room.depth_m,
            "height_m": room.height_m,
        },
        "objects": [
            {
                "id": item.id,
                "label": item.label,
                "color": item.color,
                "center": [round(float(v), 4) for v in item.center],
                "size": [round(float(v), 4) for v in item.size],
                "yaw": round(item.yaw, 5),
                "model": item.model,
                "variant": item.variant,
                "heldout_model": item.heldout,
                "visible_pixels": [int(v) for v in visible_pixels[:, index]],
            }
            for index, item in enumerate(room.objects)
        ],
    }


class ClipFactory:
    """Makes the clips of one split and seed; the index alone determines a clip.

    The split is part of every clip's seed, so that the splits share no clip. Every second room
    uses ``furniture`` besides primitives.

    Raises:
        RenderError: If rendering is impossible here.
    """

    def __init__(self, split: str, seed: int, furniture: FurnitureFolder | None = None) -> None:
        # Imported here, because the import chooses the GL backend.
        from vega3d_ros.simulation.renderer import RoomRenderer  # noqa: PLC0415

        self.split, self.seed, self.furniture = split, seed, furniture
        self._renderer = RoomRenderer(WIDTH, HEIGHT, furniture)

    def clip(self, index: int) -> ClipRecord:
        from vega3d_ros.simulation.renderer import pinhole_camera  # noqa: PLC0415

        rng = np.random.default_rng([SPLITS.index(self.split), self.seed, index])
        models = self.furniture.models if self.furniture and rng.random() < 0.5 else ()
        poses = None
        while poses is None:
            room = plan_room(rng, self.split, models)
            poses = clip_path(rng, room, FRAMES)
        self._renderer.load_room(room, rng)
        camera = pinhole_camera(WIDTH, HEIGHT, rng.uniform(45, 68))
        views = [self._renderer.render(pose, camera) for pose in poses]
        count = len(room.objects) + 1
        visible = np.array([np.bincount(v.instance.ravel(), minlength=count)[1:] for v in views])
        # Stamps differ between clips, because they seed the model's noise.
        stamps = [index * 10**10 + (i + 1) * _STEP_NS for i in range(FRAMES)]
        truth: dict[str, Any] = {"split": self.split, "seed": self.seed, "index": index}
        truth |= truth_record(room, camera, stamps, poses, visible)
        truth["questions"] = [q.record() for q in make_questions(truth["objects"], rng)]
        truth["referring"] = [r.record() for r in make_referring(truth["objects"], rng)]
        return ClipRecord(
            np.stack([v.rgb for v in views]),
            np.stack([v.depth_m[::2, ::2] for v in views]).astype(np.float16),
            np.stack([v.instance[::2, ::2] for v in views]),
            truth,
        )


_factory: ClipFactory | None = None


def _start_worker(split: str, seed: int, furniture: str | None) -> None:
    global _factory  # noqa: PLW0603 - one compiled model per worker process
    _factory = ClipFactory(split, seed, read_furniture(furniture) if furniture else None)


def _make_shard(task: tuple[str, int, int, int]) -> int:
    folder, number, first, count = task
    if _factory is None:
        msg = "the worker process has no clip factory: start it with _start_worker"
        raise RuntimeError(msg)
    clips = [_factory.clip(index) for index in range(first, first + count)]
    write_shard(folder, _factory.split, number, clips)
    return count


def _keep_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Store the settings of a split's clips beside them.

    Raises:
        DatasetError: If there are clips of other settings.
    """
    file = folder / _SETTINGS
    shards = sorted(folder.glob("shard_*.json"))
    known: dict[str, Any] = {}
    if shards and file.exists():
        known = read_object(file)
    elif shards:  # made before settings were stored
        known = {"seed": read_truths(shards[0])[0].get("seed", settings["seed"])}
    for name, there in known.items():
        if settings.get(name) != there:
            msg = (
                f"{folder} holds clips of {name} {there}, not {settings.get(name)}; give another "
                "folder with --out"
            )
            raise DatasetError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, settings)


def generate(
    folder: str | Path,
    split: str,
    count: int,
    *,
    seed: int = 0,
    furniture: str | None = None,
    workers: int = 1,
) -> Iterator[int]:
    """Write ``count`` clips in shards, except those in complete shards.

    Yields:
        The number of clips that are in each finished shard.

    Raises:
        DatasetError: If the folder holds clips of another seed, or with other furniture.
        FurnitureError: If the furniture folder cannot be used.
        RenderError: If rendering is impossible here.
    """
    _keep_settings(Path(folder) / split, {"seed": seed, "furniture": bool(furniture)})
    tasks = []
    for number, first in enumerate(range(0, count, CLIPS_PER_SHARD)):
        size = min(CLIPS_PER_SHARD, count - first)
        file = shard_path(folder, split, number).with_suffix(".json")
        made = len(read_truths(file)) if file.exists() else 0
        if made >= size:
            yield made
        else:
            tasks.append((str(folder), number, first, size))
    if not tasks:
        return
    if workers == 1:
        _start_worker(split, seed, furniture)
        yield from map(_make_shard, tasks)
        return
    # Spawned, not forked: a GL context does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _start_worker, (split, seed, furniture)) as pool:
        yield from pool.imap(_make_shard, tasks)
