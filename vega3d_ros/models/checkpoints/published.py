"""Files of other authors that models need: where they are published, and under which licence."""

from __future__ import annotations

from dataclasses import dataclass


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
