"""Metric depth networks of transformers' AutoModelForDepthEstimation.

Depth Anything V2 (metric), ZoeDepth and GLPN give metres as for the cameras that they were trained
with. DepthPro gives canonical inverse depth, which the focal length turns into metres; it also
guesses the field of view. Each family's image is resized in its own way, and its output is resized
back here, so that depth is where the pixels are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch.nn.functional import interpolate

from vega3d_ros.models.depth.base import DepthError, DepthImage
from vega3d_ros.models.depth.network_files import read_description
from vega3d_ros.models.detectors.base import DetectorError
from vega3d_ros.models.detectors.hub.folder import (
    load_image_processor,
    load_network,
    pixel_inputs,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Camera, Frame

SCALE_ERROR = 0.15
"""Assumed for every network, as a share of the distance; not measured here."""
_METRIC = ("depth_anything", "depth_pro", "glpn", "zoedepth")
_PRO_SIZE = 1536


class NetworkDepth:
    """A network from a folder.

    Args:
        folder: In the layout of the Hugging Face hub, with weights as safetensors.
        canonical_focal: Focal length of the cameras that it was trained with, over the height of
            their images. Its depth is then scaled by the camera's own; None: taken as it is.
        device: Of torch.

    Raises:
        DepthError: If it cannot be loaded, or does not give metres.
    """

    def __init__(
        self, folder: str | Path, *, canonical_focal: float | None = None, device: str = "cpu"
    ) -> None:
        self._folder = Path(folder)
        self._family = _family(self._folder)
        self._focal = canonical_focal
        self._device = device
        try:
            network = load_network(self._folder, "AutoModelForDepthEstimation", device)
            self._network = network.float()
            self._prepare: Any
            if self._family == "depth_pro":
                self._prepare = _ProInput(self._folder)
            else:
                self._prepare = load_image_processor(self._folder)
        except DetectorError as error:
            raise DepthError(str(error)) from error
        except SafetensorError as error:
            msg = f"the weights in {self._folder} are damaged: {error}; download them again"
            raise DepthError(msg) from error

    @torch.inference_mode()
    def depth(self, frame: Frame) -> DepthImage:
        """See ``DepthSource``."""
        self._require_camera(frame.camera)
        image = frame.picture
        size = (image.shape[0], image.shape[1])
        if self._family == "depth_pro":
            outputs = self._network(self._prepare(image).to(self._device))
        else:
            outputs = self._network(**pixel_inputs(self._prepare, image, self._device))
        predicted = outputs.predicted_depth[:, None].float()
        if self._family == "zoedepth":
            found = _without_padding(predicted, size, padded=bool(self._prepare.do_pad))
        else:
            found = interpolate(predicted, size, mode="bilinear", align_corners=False)
        if self._family == "depth_pro":
            found = _metres(found, outputs.field_of_view, frame.camera)
        metres = np.asarray(found[0, 0].cpu().numpy(), np.float32)
        if self._focal is not None and frame.camera is not None:
            metres = metres * np.float32(frame.camera.fy / frame.camera.height / self._focal)
        known = np.isfinite(metres) & (metres > 0)
        return DepthImage(np.where(known, metres, np.float32(np.nan)), "network", SCALE_ERROR)

    def _require_camera(self, camera: Camera | None) -> None:
        if camera is not None:
            return
        guesses = self._family == "depth_pro" and self._network.use_fov_model
        if self._focal is not None or (self._family == "depth_pro" and not guesses):
            msg = (
                f"the depth network {self._folder.name} needs the camera's focal length, and no "
                "camera_info was received; publish the camera's calibration"
            )
            raise DepthError(msg)


class _ProInput:
    """DepthPro's own preparation, which transformers has only with torchvision."""

    def __init__(self, folder: Path) -> None:
        values = read_description(folder / "preprocessor_config.json")
        size = values.get("size") or {}
        self._size = (size.get("height", _PRO_SIZE), size.get("width", _PRO_SIZE))
        self._mean, self._std = (
            torch.tensor(values.get(name) or [0.5] * 3).reshape(1, 3, 1, 1)
            for name in ("image_mean", "image_std")
        )

    def __call__(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """[1, 3, H, W] of an image [h, w, 3]."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None] / 255
        normal = (pixels - self._mean) / self._std
        return interpolate(normal, self._size, mode="bilinear", align_corners=False)


def _family(folder: Path) -> str:
    config = read_description(folder / "config.json")
    family = str(config.get("model_type"))
    if family not in _METRIC:
        known = ", ".join(_METRIC)
        msg = f"{folder} is no metric depth network that is known here ({family}); known: {known}"
        raise DepthError(msg)
    if family == "depth_anything" and config.get("depth_estimation_type") != "metric":
        msg = (
            f"{folder} gives relative depth, not metres; take one of the metric ones, such as "
            "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf"
        )
        raise DepthError(msg)
    return family


def _without_padding(
    predicted: torch.Tensor, size: tuple[int, int], *, padded: bool
) -> torch.Tensor:
    """ZoeDepth's output without the border that its preparation added by reflection."""
    border = [int(np.sqrt(side / 2) * 3) if padded else 0 for side in size]
    whole = [side + 2 * extra for side, extra in zip(size, border, strict=True)]
    # As its preparation resizes: corner pixels stay corner pixels.
    found = interpolate(predicted, whole, mode="bilinear", align_corners=True)
    rows, columns = (slice(b, b + side) for b, side in zip(border, size, strict=True))
    return found[..., rows, columns]


def _metres(
    canonical: torch.Tensor, field_of_view: torch.Tensor | None, camera: Camera | None
) -> torch.Tensor:
    """Metres of DepthPro's inverse depth, by the known focal length, else by its own guess."""
    if camera is not None:
        focal = camera.fx / camera.width
    else:
        assert field_of_view is not None
        focal = float(0.5 / torch.tan(torch.deg2rad(field_of_view[0]) / 2))
    return focal / torch.clamp(canonical, 1e-4, 1e4)
