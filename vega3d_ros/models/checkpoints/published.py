"""Files of other authors that models need: where they are published, and under which licence.

The checksums of files and the commits of folders are those that public projects state for
the same address. Where none was found, nothing stands here, and the download says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LICENSES = ("Apache-2.0",)
"""What may stand beside a published part. Nothing under the AGPL is ever fetched."""


@dataclass(frozen=True)
class PublishedFile:
    """A file on the web.

    Attributes:
        url: Where its authors publish it.
        license: Of the weights, as the authors' repository states it; one of ``LICENSES``.
        source: That repository.
        sha256: Of its content, in hexadecimal; empty where none is known.
    """

    url: str
    license: str
    source: str
    sha256: str = ""


@dataclass(frozen=True)
class PublishedFolder:
    """A repository of the Hugging Face hub.

    Attributes:
        repository: Its id.
        license: As for a file.
        source: As for a file.
        revision: The commit that is meant; empty where none is known.
        sha256: Of its files by name, as far as known.
        packages: Of Python, that its network needs beside those of this package.
    """

    repository: str
    license: str
    source: str
    revision: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Its page."""
        return f"https://huggingface.co/{self.repository}"


PUBLISHED: dict[str, PublishedFile | PublishedFolder] = {
    "nanodet-plus-m_416.onnx": PublishedFile(
        url=(
            "https://github.com/RangiLyu/nanodet/releases/download/v1.0.0-alpha-1/"
            "nanodet-plus-m_416.onnx"
        ),
        license="Apache-2.0",
        source="https://github.com/RangiLyu/nanodet",
        sha256="59d2f166088889c902f523bf08079391993491324f0d84847e3c4016a8f7cc3d",
    ),
    "yolox_nano.onnx": PublishedFile(
        url=(
            "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/"
            "yolox_nano.onnx"
        ),
        license="Apache-2.0",
        source="https://github.com/Megvii-BaseDetection/YOLOX",
        sha256="c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d",
    ),
    "llmdet_tiny": PublishedFolder(
        repository="iSEE-Laboratory/llmdet_tiny",
        license="Apache-2.0",
        source="https://github.com/iSEE-Laboratory/LLMDet",
        revision="d05199165a19320a9236396e20fca0a5e065189c",
    ),
    "EdgeTAM-hf": PublishedFolder(
        repository="yonigozlan/EdgeTAM-hf",
        license="Apache-2.0",
        source="https://github.com/facebookresearch/EdgeTAM",
        packages=("timm",),
    ),
    "sam2.1-hiera-tiny": PublishedFolder(
        repository="facebook/sam2.1-hiera-tiny",
        license="Apache-2.0",
        source="https://github.com/facebookresearch/sam2",
        revision="de431c4043854a71d8101e17995dfe596bf101a5",
        sha256={
            "model.safetensors": (
                "48c14467e5cf9e51870511feb72c89688e82dd74523142c0538b663e193ac2a7"
            ),
        },
    ),
}
"""By the name of the file or folder that models know it by."""
