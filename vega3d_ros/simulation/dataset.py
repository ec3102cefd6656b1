"""Simulated clips on disk: shards of arrays with a truth record per clip.

A folder holds ``<split>/shard_00000.{rgb,depth,instance}.npy`` and ``shard_00000.json``, and so
on; a shard is complete once its JSON exists. Arrays (n clips of T frames):

- ``rgb`` uint8 [n, T, 168, 224, 3]
- ``depth`` float16 [n, T, 84, 112], metres along the optical axis, 0 where unknown
- ``instance`` uint8 [n, T, 84, 112], 0 for the room, k + 1 for ``objects[k]``

Depth and instance hold every second pixel of every second row, beginning with the first (nearest,
never averaged, so that no depth lies between two surfaces).

The JSON is a list of n truth records (see ``docs/ground_truth.md``)::

    {"split", "seed", "index", "furniture": bool, "fixed_frame": "map",
     "camera": {"width", "height", "fx", "fy", "cx", "cy"},       # pixels of rgb
     "stamps_ns": [T], "poses": [T][4][4],                        # map from camera (optical)
     "room": {"width_m", "depth_m", "height_m"},
     "objects": [{"id", "label", "color": name | null, "center": [3], "size": [3], "yaw",
                  "model", "variant", "heldout_model": bool, "visible_pixels": [T]}],
     "questions": [{"kind", "question", "answer", "objects": [ids]}],
     "referring": [{"text", "objects": [ids]}]}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.frames import Camera, Clip, Frame
from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.json_io import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

CLIPS_PER_SHARD = 50
FRAME_ID = "camera_color_optical_frame"
TRUTH_FILE = "truth.json"  # in the folder of a simulated bag
_ARRAYS = ("rgb", "depth", "instance")
_REMEDY = "delete the shard's JSON and generate the shard again"


class DatasetError(Vega3dError, ValueError):
    """A folder of clips that is missing, empty or damaged; the message names the file."""


@dataclass(frozen=True, eq=False)
class ClipRecord:
    """One clip.

    Attributes:
        rgb: [T, H, W, 3] uint8.
        depth: [T, H / 2, W / 2] float16, metres; 0 where unknown.
        instance: [T, H / 2, W / 2] uint8; k + 1 for ``truth["objects"][k]``.
        truth: The record of the module's docstring.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float16]
    instance: NDArray[np.uint8]
    truth: dict[str, Any]


def shard_path(folder: str | Path, split: str, number: int) -> Path:
    """Path of a shard without its suffixes."""
    return Path(folder) / split / f"shard_{number:05d}"


def write_shard(folder: str | Path, split: str, number: int, clips: Sequence[ClipRecord]) -> Path:
    """Write a shard, its JSON last and as a whole; returns the path of the JSON."""
    base = shard_path(folder, split, number)
    base.parent.mkdir(parents=True, exist_ok=True)
    for name in _ARRAYS:
        np.save(f"{base}.{name}.npy", np.stack([getattr(clip, name) for clip in clips]))
    file = base.with_name(f"{base.name}.json")
    with replacing(file) as scratch:
        scratch.write_text(json.dumps([clip.truth for clip in clips], separators=(",", ":")))
    return file


def read_truths(file: Path) -> list[dict[str, Any]]:
    """The truth records of a shard.

    Raises:
        DatasetError: If its JSON is damaged.
    """
    try:
        truths: list[dict[str, Any]] = json.loads(file.read_text())
    except ValueError as error:
        msg = f"{file} is not valid JSON ({error}); {_REMEDY}"
        raise DatasetError(msg) from error
    return truths


class ClipDataset:
    """Memory-mapped clips of one split of ``vega3d simulate clips --out folder``.

    Raises:
        DatasetError: If there is no complete shard or one is damaged.
    """

    def __init__(self, folder: str | Path, split: str) -> None:
        root = Path(folder) / split
        self.shards = sorted(root.glob("shard_*.json"))
        if not self.shards:
            command = f"vega3d simulate clips --out {folder} --split {split}"
            msg = f"{root} holds no clips; make some: {command}"
            raise DatasetError(msg)
        self.truths: list[dict[str, Any]] = []
        self._where: list[tuple[int, int]] = []
        for number, path in enumerate(self.shards):
            truths = read_truths(path)
            self.truths += truths
            self._where += [(number, i) for i in range(len(truths))]
        # Bound per instance: a plain decorator would keep every dataset alive.
        self._open = lru_cache(maxsize=None)(self._open_shard)

    def __len__(self) -> int:
        return len(self._where)

    def _open_shard(self, number: int) -> dict[str, NDArray[Any]]:
        base = str(self.shards[number])[: -len(".json")]
        arrays = {}
        for name in _ARRAYS:
            try:
                arrays[name] = np.load(f"{base}.{name}.npy", mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:  # noqa: PERF203
                msg = f"{base}.{name}.npy cannot be read ({error}); {_REMEDY}"
                raise DatasetError(msg) from error
        clips = sum(where[0] == number for where in self._where)
        if any(len(array) != clips for array in arrays.values()):
            msg = f"{base}: arrays and JSON differ in length; {_REMEDY}"
            raise DatasetError(msg)
        return arrays

    def __getitem__(self, index: int) -> ClipRecord:
        number, row = self._where[index]
        arrays = self._open(number)
        return ClipRecord(
            arrays["rgb"][row],
            arrays["depth"][row],
            arrays["instance"][row],
            self.truths[index],
        )

    def frames(self, index: int) -> Clip:
        """A clip with depth at the images' size and poses in map."""
        return to_clip(self[index])


def truth_box(item: Mapping[str, Any]) -> Box3D:
    """The box of an object of a truth record, in the frame of its fields."""
    return Box3D.upright(item["center"], item["size"], item["yaw"])


def to_clip(record: ClipRecord) -> Clip:
    """Frames of a record; each depth value fills the 2 x 2 pixels it was taken from."""
    truth = record.truth
    camera = Camera(**truth["camera"])
    frames = []
    for i, stamp_ns in enumerate(truth["stamps_ns"]):
        depth = np.repeat(np.repeat(record.depth[i].astype(np.float32), 2, axis=0), 2, axis=1)
        depth[depth == 0] = np.nan
        frames.append(
            Frame(
                stamp_ns,
                np.asarray(record.rgb[i]),
                FRAME_ID,
                camera,
                depth_m=depth,
                pose=SE3.from_matrix(truth["poses"][i]),
                fixed_frame=truth["fixed_frame"],
            )
        )
    return Clip(tuple(frames))
