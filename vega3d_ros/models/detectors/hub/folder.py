"""Networks and processors from a folder in the layout of the Hugging Face hub."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers.utils import is_torchvision_available

from vega3d_ros.models.detectors.base import DetectorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_EXTRA_PACKAGES = ("timm", "torchvision")  # which some families need


def load_network(folder: Path, auto_class: str, device: str) -> Any:
    """The network, frozen. Only safetensors are read, and nothing is downloaded.

    Args:
        folder: Holds ``config.json`` and the weights.
        auto_class: Of transformers.
        device: Of torch.

    Raises:
        DetectorError: If it cannot be loaded, or weights are missing.
    """
    with _named(folder):
        network, told = getattr(transformers, auto_class).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        network.to(device)
    parameters = {name for name, _ in network.named_parameters()}
    if missing := sorted(parameters & set(told["missing_keys"])):
        msg = f"{folder} lacks weights ({', '.join(missing[:3])}, ...): download it again"
        raise DetectorError(msg)
    return network.eval().requires_grad_(requires_grad=False)


def load_image_processor(folder: Path) -> Any:
    """The image processor.

    RF-DETR's own needs torchvision. Where that is absent, RT-DETR's does the same: it resizes,
    rescales and normalises as the same file says, and reads the outputs alike.

    Raises:
        DetectorError: If it cannot be loaded.
    """
    with _named(folder):
        kind = transformers.AutoImageProcessor
        if not is_torchvision_available() and _model_type(folder) == "rf_detr":
            kind = transformers.RTDetrImageProcessorPil
        return kind.from_pretrained(folder, local_files_only=True)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer.

    Raises:
        DetectorError: If it cannot be loaded.
    """
    with _named(folder):
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def pixel_inputs(processor: Any, image: NDArray[np.uint8], device: str) -> dict[str, torch.Tensor]:
    """What a network takes of an image, [1, ...] on ``device``."""
    inputs = processor(images=image, input_data_format="channels_last", return_tensors="pt")
    return {
        name: inputs[name].to(device) for name in ("pixel_values", "pixel_mask") if name in inputs
    }


def corners(boxes: torch.Tensor, width: float, height: float) -> torch.Tensor:
    """Boxes [n, 4] (centre x, y, width, height, relative) as (x0, y0, x1, y1) in pixels."""
    center, half = boxes[:, :2], boxes[:, 2:] / 2
    scale = boxes.new_tensor([width, height, width, height])
    return torch.cat([center - half, center + half], dim=1) * scale


def _model_type(folder: Path) -> str:
    return str(transformers.AutoConfig.from_pretrained(folder, local_files_only=True).model_type)


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    try:
        yield
    except (ImportError, OSError, ValueError, RuntimeError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())
        for package in _EXTRA_PACKAGES:
            if package in reason and find_spec(package) is None:
                msg = f"{folder} needs {package}, which is not installed: pip install {package}"
                raise DetectorError(msg) from error
        msg = f"{folder} cannot be loaded: {reason[:300]}"
        raise DetectorError(msg) from error
