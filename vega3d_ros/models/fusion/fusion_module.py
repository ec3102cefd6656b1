"""From semantic and generative tokens to what the language model reads: project, gate, place."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from torch import nn
from torch.nn import functional

from vega3d_ros.core.token_grid import FEATURES
from vega3d_ros.models.fusion.gates import (
    Fused,
    FusionError,
    GenerativeMerger,
    InstructionTokenGated,
    MlpProjector,
    build_fusion,
    resample_grid,
)

if TYPE_CHECKING:
    from torch import Tensor

WITHOUT_PRIOR = "semantic_only"

Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class FusionConfig:
    """Shape of projector and gate.

    Attributes:
        method: Fusion method (``fusion.FUSION_METHODS``), or ``semantic_only`` without a prior.
        dim: D, width of the language model.
        prior_dim: Channels of a generative token.
        projector: "mlp2x_gelu" (main branch: on the semantic grid), "merger" (spatial-reasoning
            branch: on the grid before merging, then 2x2 tokens become one).
        merger_hidden_dim: Inner width of the merger.
        merger_type: "mlp" or "avg", see :class:`vega3d_ros.models.fusion.gates.GenerativeMerger`.
        layers: Layers of cross-attention.
        heads: Attention heads of cross-attention.
        pool: Rows and columns to which generative tokens are averaged before they are projected,
            0 for none; the main branch takes 14.
    """

    method: str
    dim: Count
    prior_dim: Count
    projector: Literal["mlp2x_gelu", "merger"] = "mlp2x_gelu"
    merger_hidden_dim: Count = 4096
    merger_type: Literal["mlp", "avg"] = "mlp"
    layers: Count = 1
    heads: Count = 8
    pool: Count = 0

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for JSON."""
        return asdict(self)


class FusionModule(nn.Module):
    """Projector and gate.

    Args:
        config: Shapes and method.

    Raises:
        FusionError: If the gate asks for the question: a clip is fused and read once, before any.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        if config.method == WITHOUT_PRIOR:
            return
        self.projector: nn.Module
        if config.projector == "merger":
            self.projector = GenerativeMerger(
                config.prior_dim, config.dim, config.merger_hidden_dim, config.merger_type
            )
        else:
            self.projector = MlpProjector(config.prior_dim, config.dim)
        self.gate = build_fusion(
            config.method, config.dim, heads=config.heads, layers=config.layers
        )
        if isinstance(self.gate, InstructionTokenGated):
            msg = (
                f"the fusion method {config.method} gates by the question, but here a clip is "
                "fused and read once for all questions; use a model with another gate, such as "
                "token_gated"
            )
            raise FusionError(msg)

    def forward(self, semantic: Tensor, generative: Tensor | None) -> Fused:
        """Fuse semantic [N, rows, columns, D] and generative [N, r, c, C] tokens.

        The result lies on the semantic grid.
        """
        return self.fused(semantic, self.projected(generative, *semantic.shape[1:3]))

    def fused(self, semantic: Tensor, projected: Tensor | None) -> Fused:
        """Fuse tokens of one grid and width; without generative ones, the semantic ones remain."""
        if projected is None:
            return Fused(semantic, None)
        fused: Fused = self.gate(semantic, projected)
        return fused

    def projected(self, generative: Tensor | None, rows: int, columns: int) -> Tensor | None:
        """Generative tokens [N, r, c, C] on the semantic grid, [N, rows, columns, D].

        None without them, and for a model that does not use them.
        """
        if self.config.method == WITHOUT_PRIOR or generative is None:
            return None
        if self.config.pool:
            planes = generative.permute(0, 3, 1, 2)
            planes = functional.adaptive_avg_pool2d(planes, self.config.pool)
            generative = planes.permute(0, 2, 3, 1)
        factor = 2 if self.config.projector == "merger" else 1
        generative = resample_grid(generative, rows * factor, columns * factor)
        tokens: Tensor = self.projector(generative)
        return tokens


class PositionEncoding(nn.Module):
    """Tells the language model where each token looks, added to the fused tokens.

    VEGA-3D's main branch adds a sine code of the world coordinates that depth gives
    (Video-3D-LLM). Here a small network encodes rays, camera height and depth as far as each is
    known (``token_geometry.features``), so that clips without depth or poses are understood too.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(FEATURES, 128), nn.GELU(), nn.Linear(128, dim))

    def forward(self, features: Tensor) -> Tensor:
        """Features [..., FEATURES] to [..., dim]."""
        encoded: Tensor = self.network(features)
        return encoded
