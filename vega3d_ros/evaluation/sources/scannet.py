"""ScanNet scenes in the layout of Video-3D-LLM's data: EmbodiedScan infos and posed images."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from vega3d_ros.core.frames import Camera, Clip, Frame, sample_uniformly
from vega3d_ros.core.geometry import SE3
from vega3d_ros.evaluation.schema import RunError
from vega3d_ros.evaluation.sources import plain_pickle
from vega3d_ros.evaluation.sources.benchmark import existing, read_json

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FIXED_FRAME = "scene"
_INFOS = "request EmbodiedScan on its project page and put its files there"
_IMAGES = (
    "unpack posed_images of the data set zd11024/Video-3D-LLM_data on Hugging Face, or export it "
    "from ScanNet's .sens files with Video-3D-LLM's generate_image_scannet.py --fast"
)
_PROPOSALS = "get metadata/ of the data set zd11024/Video-3D-LLM_data on Hugging Face"
# EmbodiedScan takes one of ten of ScanNet's frames, which come at 30 a second.
_STEP_NS = 333_333_333


class ScanNetScenes:
    """Reads clips of scenes.

    Args:
        data: The folder ``data`` of Video-3D-LLM, with ``embodiedscan/``, ``scannet/`` and
            ``metadata/``.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._infos: dict[str, Any] = {}
        # Validation scenes are asked about most.
        self._unread = ["test", "train", "val"]

    @cached_property
    def _boxes(self) -> dict[str, list[list[float]]]:
        path = self._data / "metadata" / "scannet_val_pred_box.json"
        boxes: dict[str, list[list[float]]] = read_json(path, _PROPOSALS)
        return boxes

    def proposals(self, scene: str) -> list[list[float]]:
        """The boxes of Mask3D, six numbers each."""
        return self._boxes.get(scene, [])

    def clip(self, scene: str, frames: int) -> Clip:
        """Frames at even steps with depth, and poses in the scene's aligned frame.

        The colour image is brought to the size of the depth image and takes its intrinsics: the
        official code lays one on the other in the same way.
        """
        info = self._info(scene)
        try:
            images = [image["img_path"] for image in info["images"]]
            aligned = np.array(info["axis_align_matrix"], np.float64)
            intrinsics = np.array(info["depth_cam2img"], np.float64)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"the EmbodiedScan info of {scene} is incomplete ({error!r}); {_INFOS}"
            raise RunError(msg) from error
        if not images:
            msg = f"the EmbodiedScan info of {scene} lists no images; {_INFOS}"
            raise RunError(msg)
        found = []
        for index in sample_uniformly(len(images), frames):
            pose = self._pose(images[index], aligned)
            if pose is not None:
                found.append(self._frame(scene, index, images[index], intrinsics, pose))
        if not found:
            msg = f"no image of {scene} has a valid pose; {_IMAGES}"
            raise RunError(msg)
        return Clip(tuple(found))

    def _info(self, scene: str) -> Any:
        while scene not in self._infos:
            if not self._unread:
                msg = f"{self._data / 'embodiedscan'} says nothing of {scene}; {_INFOS}"
                raise RunError(msg)
            split = self._unread.pop()
            self._infos |= read_infos(self._data / "embodiedscan", split)
        return self._infos[scene]

    def _pose(self, image: str, aligned: NDArray[np.float64]) -> SE3 | None:
        """Scene from optical frame; None where tracking was lost."""
        path = existing((self._data / image).with_suffix(".txt"), _IMAGES)
        try:
            unaligned = np.loadtxt(path).reshape(4, 4)
        except ValueError as error:
            msg = f"{path} is no 4 x 4 matrix ({error}); {_IMAGES}"
            raise RunError(msg) from error
        if not np.isfinite(unaligned).all():
            return None
        pose = aligned @ unaligned
        # Written with six digits, so that it is not quite a rotation.
        rotation = Rotation.from_matrix(pose[:3, :3]).as_matrix()
        return SE3(rotation, pose[:3, 3])

    def _frame(
        self, scene: str, index: int, image: str, intrinsics: NDArray[np.float64], pose: SE3
    ) -> Frame:
        path = self._data / image
        depth = _picture(path.with_suffix(".png"), cv2.IMREAD_UNCHANGED)
        height, width = depth.shape[:2]
        colour = cv2.resize(
            _picture(path, cv2.IMREAD_COLOR), (width, height), interpolation=cv2.INTER_AREA
        )
        depth_m = depth.astype(np.float32)
        depth_m *= 0.001
        depth_m[depth == 0] = np.nan
        camera = Camera(
            width=width,
            height=height,
            fx=float(intrinsics[0, 0]),
            fy=float(intrinsics[1, 1]),
            cx=float(intrinsics[0, 2]),
            cy=float(intrinsics[1, 2]),
        )
        return Frame(
            index * _STEP_NS,
            cv2.cvtColor(colour, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False),
            scene,
            camera,
            depth_m=depth_m,
            pose=pose,
            fixed_frame=FIXED_FRAME,
        )


def read_infos(folder: Path, split: str) -> dict[str, Any]:
    """EmbodiedScan's infos of ScanNet scenes by ``sample_idx``, from the pickle or as JSON.

    Raises:
        RunError: If there is neither, or it cannot be read.
    """
    converted = folder / f"embodiedscan_infos_{split}.json"
    path = folder / f"embodiedscan_infos_{split}.pkl"
    if converted.exists():
        path, document = converted, read_json(converted, _INFOS)
    else:
        existing(path, f"{_INFOS} (or beside it, as JSON, {converted.name})")
        try:
            document = plain_pickle.load(path)
        except (OSError, plain_pickle.PlainPickleError) as error:
            msg = f"{error}; get it again, or convert it yourself to {converted.name}"
            raise RunError(msg) from error
    try:
        return {
            item["sample_idx"]: item
            for item in document["data_list"]
            if item["sample_idx"].startswith("scannet")
        }
    except (KeyError, TypeError) as error:
        msg = f"{path} has not the layout of EmbodiedScan infos ({error!r}); {_INFOS}"
        raise RunError(msg) from error


def _picture(path: Path, flags: int) -> NDArray[Any]:
    picture = cv2.imread(str(existing(path, _IMAGES)), flags)
    if picture is None:
        msg = f"{path} is no image; {_IMAGES}"
        raise RunError(msg)
    return picture
