"""A prior of your own in a model, without ROS: here, how strong the edges are in each direction.

The gate that fuses its tokens is new and untrained, so the answers only show that everything fits;
`vega3d train fused` trains one. To name the prior in a model folder ("type": "edges"), give the
class as an entry point of your package:

[project.entry-points."vega3d_ros.priors"]
edges = "your_package.custom_prior:EdgePrior"

python examples/custom_prior.py BAG "How many chairs are there?"
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch.nn.functional import avg_pool2d, conv2d

from vega3d_ros import Clip, Perceiver
from vega3d_ros.core.settings import STRICT
from vega3d_ros.models.fusion import FusionModule
from vega3d_ros.models.priors.base import Pixels, PriorConfig
from vega3d_ros.models.priors.files import load_config, save_config
from vega3d_ros.models.priors.frame_network import FrameNetwork


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EdgePriorConfig(PriorConfig):
    """Settings: those of every prior, and one more."""

    type: Literal["edges"] = "edges"
    width: Pixels = 128
    height: Pixels = 96
    cell: Pixels = 16


class EdgePrior(FrameNetwork):
    """Mean size of the image gradient along x and y, of each colour, in cells of pixels."""

    Config = EdgePriorConfig
    config: EdgePriorConfig

    def __init__(self, config: EdgePriorConfig) -> None:
        super().__init__()
        self.config, self.dim = config, 6
        self.grid = self.fit_grid(config.cell)
        sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 8
        kernels = torch.stack([sobel, sobel.T])[:, None].repeat(3, 1, 1, 1)
        self.kernels = torch.nn.Parameter(kernels)
        self.freeze()

    def tokens(self, pictures: torch.Tensor) -> torch.Tensor:
        edges = conv2d(pictures, self.kernels, padding=1, groups=3).abs()
        return avg_pool2d(edges, self.config.cell).permute(0, 2, 3, 1)

    def save(self, folder: Path, dtype: torch.dtype | None = None) -> None:  # noqa: ARG002
        save_config(self.config, folder)  # it has no weights to write

    @classmethod
    def from_folder(
        cls, folder: Path, config: PriorConfig | None = None, **_: object
    ) -> "EdgePrior":
        return cls(load_config(folder, EdgePriorConfig, config))


def main() -> None:
    """Ask a recording through a model whose prior is the one above."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bag", type=Path, help="recording with images and camera_info")
    parser.add_argument("question", nargs="+")
    args = parser.parse_args()

    perceiver = Perceiver.from_pretrained("nano")
    prior = EdgePrior(EdgePriorConfig())
    shape = replace(perceiver.modules.fusion.config, prior_dim=prior.dim)
    perceiver.modules.prior = prior
    perceiver.modules.fusion = FusionModule(shape).eval()

    scene = perceiver.observe(Clip.from_bag(args.bag))
    print(f"{prior.grid[0]}x{prior.grid[1]} tokens of {prior.dim} channels a frame")
    for answer in scene.ask_all(args.question):
        print(f"{answer.question}  {answer.text}  ({answer.confidence:.0%} sure)")


if __name__ == "__main__":
    main()
