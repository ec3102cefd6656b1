"""Files of other authors that models need: where they are published, and under which licence."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.request import urlopen

from vega3d_ros.core.json_io import replacing
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.detectors import DetectorError, load_detector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_TIMEOUT_S = 60


@dataclass(frozen=True)
class PublishedFile:
    """A file on the web.

    Attributes:
        url: Where its authors publish it.
        license: Of the weights, as the authors' repository states it.
        source: That repository.
    """

    url: str
    license: str
    source: str


PUBLISHED = {
    "nanodet-plus-m_416.onnx": PublishedFile(
        url=(
            "https://github.com/RangiLyu/nanodet/releases/download/v1.0.0-alpha-1/"
            "nanodet-plus-m_416.onnx"
        ),
        license="Apache-2.0",
        source="https://github.com/RangiLyu/nanodet",
    ),
    "yolox_nano.onnx": PublishedFile(
        url=(
            "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/"
            "yolox_nano.onnx"
        ),
        license="Apache-2.0",
        source="https://github.com/Megvii-BaseDetection/YOLOX",
    ),
}
"""By file name."""


def download_first(names: Sequence[str], folder: Path, say: Callable[[str], None]) -> Path:
    """The first of several detectors that can be had, downloaded unless it is there.

    Their authors publish no checksums. What came is accepted if the detector's own reader takes
    it, which finds cut-off files and error pages, but not another network of the same form.

    Args:
        names: Of ``PUBLISHED``.
        folder: Where they go; a file appears there whole or not at all.
        say: Told the licence before anything is asked of the network, and what became of it.

    Raises:
        CheckpointError: If none can be had.
    """
    failures = []
    for name in names:
        if (folder / name).is_file():
            say(f"{name} is there already")
            return folder / name
    for name in names:
        published = PUBLISHED[name]
        say(f"{name}: licence {published.license}, by {published.source}")
        say(f"  from {published.url}")
        try:
            _download(published.url, folder / name)
        except CheckpointError as error:
            failures.append(str(error))
            say(f"  {error}")
            continue
        say("  it can be read as a detector (no checksum is published to compare it with)")
        return folder / name
    msg = (
        f"no detector could be downloaded: {'; '.join(failures)}; without a network, copy one of "
        f"{', '.join(names)} into {folder}"
    )
    raise CheckpointError(msg)


def _download(url: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as scratch:
        try:
            with (
                urlopen(url, timeout=_TIMEOUT_S) as answer,  # noqa: S310 - of PUBLISHED, https
                scratch.open("wb") as out,
            ):
                shutil.copyfileobj(answer, out)
        except (OSError, HTTPException) as error:
            msg = f"{url} cannot be downloaded: {error}"
            raise CheckpointError(msg) from error
        try:
            load_detector(scratch)
        except DetectorError as error:
            reason = str(error).replace(str(scratch), "what came")
            msg = f"{url} does not give a detector: {reason}"
            raise CheckpointError(msg) from error
