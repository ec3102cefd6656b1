"""Which detector reads what lies on disk; nothing is imported before it is used."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.models.detectors.base import DetectorError

if TYPE_CHECKING:
    from vega3d_ros.models.detectors.base import Detector

DETECTORS: dict[str, str] = {
    "onnx": "vega3d_ros.models.detectors.onnx:OnnxDetector",
    "fixed-names": "vega3d_ros.models.detectors.hub.fixed_names:FixedNamesDetector",
    "any-text": "vega3d_ros.models.detectors.hub.any_text:AnyTextDetector",
}
# Of transformers' `model_type`: what AutoModelForZeroShotObjectDetection loads.
_ANY_TEXT = frozenset({"grounding-dino", "mm-grounding-dino", "omdet-turbo", "owlv2"})


def load_detector(path: str | Path, **options: Any) -> Detector:
    """The detector for a file or folder.

    Args:
        path: A NanoDet-Plus or YOLOX ``.onnx`` file, or a folder of transformers.
        **options: Of the detector's class, for example ``threshold``.

    Raises:
        DetectorError: If nothing here reads it, or it cannot be loaded.
    """
    path = Path(path)
    module, _, name = DETECTORS[_kind(path)].partition(":")
    detector: Detector = getattr(import_module(module), name)(path, **options)
    return detector


def with_masks(detector: Detector, folder: str | Path, *, device: str = "cpu") -> Detector:
    """A detector whose detections have masks, by SAM 2 or EdgeTAM.

    Args:
        detector: Finds the boxes.
        folder: Of SAM 2 or EdgeTAM.
        device: Of torch.

    Raises:
        DetectorError: If the folder cannot be loaded.
    """
    masks = import_module("vega3d_ros.models.detectors.hub.masks").BoxMasks(folder, device=device)
    masked: Detector = import_module("vega3d_ros.models.detectors.masked").MaskedDetector(
        detector, masks
    )
    return masked


def _kind(path: Path) -> str:
    if not path.exists():
        msg = f"there is no detector at {path}: give an .onnx file or a folder of transformers"
        raise DetectorError(msg)
    if path.is_file():
        if path.suffix.lower() == ".onnx":
            return "onnx"
        msg = f"{path} is no detector: give an .onnx file or a folder with a config.json"
        raise DetectorError(msg)
    if not (path / "config.json").is_file():
        files = sorted(file.name for file in path.glob("*.onnx"))
        remedy = f"give one of its files ({', '.join(files)})" if files else "download it again"
        msg = f"{path} holds no config.json of transformers: {remedy}"
        raise DetectorError(msg)
    try:
        config = read_object(path / "config.json")
    except JsonError as error:
        raise DetectorError(str(error)) from error
    if config.get("model_type") in _ANY_TEXT:
        return "any-text"
    architectures = config.get("architectures") or []
    if any(str(name).endswith("ForObjectDetection") for name in architectures):
        return "fixed-names"
    told = ", ".join(map(str, architectures)) or f"model_type {config.get('model_type')!r}"
    msg = f"{path / 'config.json'} is of no object detector: {told}"
    raise DetectorError(msg)
