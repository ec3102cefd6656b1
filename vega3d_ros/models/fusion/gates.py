"""Generative tokens brought to the language model's width, and their fusion with semantic tokens.

Every method of both official branches (``main``: 3D scene understanding; ``sr``: spatial
reasoning) under the official state-dict names, so that released weights load strictly. a is the
semantic token, b the projected generative one, n1 and n2 are layer norms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class FusionError(Vega3dError, ValueError):
    """A fusion method or its input that cannot be used; the message says what to do."""


class Fused(NamedTuple):
    """Result of a fusion.

    Attributes:
        tokens: [N, rows, cols, D], the input of the language model.
        gate: [N, rows, cols] in 0..1, share 1 - g of the generator at each token (mean over
            channels where the gate is per channel); None for methods without a gate.
    """

    tokens: Tensor
    gate: Tensor | None


def resample_grid(tokens: Tensor, rows: int, cols: int) -> Tensor:
    """Tokens [N, h, w, C] bilinearly resampled to [N, rows, cols, C], computed in float32."""
    if tokens.shape[1:3] == (rows, cols):
        return tokens
    planes = tokens.permute(0, 3, 1, 2).float()
    resized = functional.interpolate(planes, (rows, cols), mode="bilinear", align_corners=False)
    return resized.permute(0, 2, 3, 1).to(tokens.dtype)


class MlpProjector(nn.Sequential):
    """``mlp2x_gelu`` of the main branch: Linear, exact GELU, Linear; keys ``0`` and ``2``."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__(nn.Linear(in_dim, dim), nn.GELU(), nn.Linear(dim, dim))


class GenerativeMerger(nn.Module):
    """Merger of the spatial-reasoning branch: 2x2 tokens of width C become one.

    An odd last row or column is dropped.

    Args:
        in_dim: C.
        dim: Width of the language model.
        hidden_dim: Width between (4096 in the released model).
        kind: "mlp" normalises and concatenates the four tokens, "avg" takes their mean.
    """

    def __init__(
        self, in_dim: int, dim: int, hidden_dim: int = 4096, kind: Literal["mlp", "avg"] = "mlp"
    ) -> None:
        super().__init__()
        if kind not in {"mlp", "avg"}:
            msg = f"merger type {kind!r} must be mlp or avg"
            raise FusionError(msg)
        self.kind = kind
        if kind == "mlp":
            self.ln_q = nn.RMSNorm(in_dim, eps=1e-6)
        merged = in_dim if kind == "avg" else 4 * in_dim
        self.mlp = nn.Sequential(
            nn.Linear(merged, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, dim)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """[N, h, w, C] -> [N, h // 2, w // 2, dim]."""
        count, rows, cols, channels = tokens.shape
        rows, cols = rows // 2, cols // 2
        if self.kind == "mlp":
            tokens = self.ln_q(tokens)
        even = tokens[:, : 2 * rows, : 2 * cols]
        blocks = even.reshape(count, rows, 2, cols, 2, channels).permute(0, 1, 3, 2, 4, 5)
        merged = blocks.mean((3, 4)) if self.kind == "avg" else blocks.flatten(3)
        result: Tensor = self.mlp(merged)
        return result


class Fusion(nn.Module, ABC):
    """Base of all methods: checks the grids, then applies the method's formula."""

    def forward(
        self,
        semantic: Tensor,
        generative: Tensor,
        context: Tensor | None = None,
    ) -> Fused:
        """Fuse tokens of equal grids.

        Args:
            semantic: a, [N, rows, cols, D].
            generative: b, of the same shape.
            context: [D] or [N, D], the question; only the instruction gate uses it.

        Raises:
            FusionError: If the shapes differ.
        """
        if semantic.shape != generative.shape or semantic.ndim != 4:
            msg = (
                f"semantic {list(semantic.shape)} and generative {list(generative.shape)} tokens "
                "must both be [N, rows, cols, D]; resample the grid and project first"
            )
            raise FusionError(msg)
        return self.fuse(semantic, generative, context)

    @abstractmethod
    def fuse(self, semantic: Tensor, generative: Tensor, context: Tensor | None) -> Fused:
        """Tokens and gate of streams whose shapes ``forward`` has checked."""


class Add(Fusion):
    """a + b."""

    def fuse(self, semantic: Tensor, generative: Tensor, _context: Tensor | None) -> Fused:
        return Fused(semantic + generative, None)


class Only(Fusion):
    """b alone: the language model gets generative tokens only."""

    def fuse(self, _semantic: Tensor, generative: Tensor, _context: Tensor | None) -> Fused:
        return Fused(generative, None)


class Weighted(Fusion):
    """(w2d a + wgen b) / (w2d + wgen) with two learned scalars.

    The spatial-reasoning branch calls the second ``weight_3d``; such a state dict loads too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight_2d = nn.Parameter(torch.tensor(0.5))
        self.weight_gen = nn.Parameter(torch.tensor(0.5))
        self.register_load_state_dict_pre_hook(_rename_weight_3d)  # type: ignore[no-untyped-call]

    def fuse(self, semantic: Tensor, generative: Tensor, _context: Tensor | None) -> Fused:
        mixed = self.weight_2d * semantic + self.weight_gen * generative
        return Fused(mixed / (self.weight_2d + self.weight_gen), None)


def _rename_weight_3d(_module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    if f"{prefix}weight_3d" in state:
        state[f"{prefix}weight_gen"] = state.pop(f"{prefix}weight_3d")


class Concat(Fusion):
    """P [n1(a); n2(b)]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.projection = nn.Linear(2 * dim, dim)

    def fuse(self, semantic: Tensor, generative: Tensor, _context: Tensor | None) -> Fused:
        both = torch.cat([self.norm1(semantic), self.norm2(generative)], dim=-1)
        return Fused(self.projection(both), None)


class Gated(Fusion):
    """g n1(a) + (1 - g) n2(b), g = sigmoid(W [n1(a); n2(b)]).

    ``channels`` = D gives the gate of each channel ("gated"), 1 one gate per token ("token_gated",
    the main branch's release): the normalised streams are mixed, without a skip.
    """

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.gate_projection = nn.Sequential(nn.Linear(2 * dim, channels), nn.Sigmoid())

    def fuse(self, semantic: Tensor, generative: Tensor, _context: Tensor | None) -> Fused:
        first, second = self.norm1(semantic), self.norm2(generative)
        gate = self.gate_projection(torch.cat([first, second], dim=-1))
        return Fused(gate * first + (1 - gate) * second, (1 - gate).mean(-1))


class TokenGatedResidual(Gated):
    """a + s (1 - g) (b - a): gate from the normalised streams, mix of the raw ones.

    The released spatial-reasoning model. s is the learned ``residual_scale``; the reported gate is
    1 - g.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, 1)
        self.residual_scale = nn.Parameter(torch.tensor(0.2))

    def fuse(self, semantic: Tensor, generative: Tensor, _context: Tensor | None) -> Fused:
        normalised = torch.cat([self.norm1(semantic), self.norm2(generative)], dim=-1)
        share = 1 - self.gate_projection(normalised)
        tokens = semantic + self.residual_scale * share * (generative - semantic)
        return Fused(tokens, share.squeeze(-1))


class InstructionTokenGated(Fusion):
    """``token_gated`` whose gate also depends on the question.

    logit = W [n1(a); n2(b)] + gate_bias + context_scale MLP(LN(context)).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm_ctx = nn.LayerNorm(dim)
        self.gate_projection = nn.Linear(2 * dim, 1)
        self.ctx_projection = nn.Sequential(
            nn.Linear(dim, dim // 2), nn.SiLU(), nn.Linear(dim // 2, 1)
        )
        self.gate_bias = nn.Parameter(torch.tensor(-0.5))
        self.context_scale = nn.Parameter(torch.tensor(1.0))

    def fuse(self, semantic: Tensor, generative: Tensor, context: Tensor | None) -> Fused:
        if context is None:
            msg = "instruction_token_gated needs the question's context vector, [D] or [N, D]"
            raise FusionError(msg)
        first, second = self.norm1(semantic), self.norm2(generative)
        logit = self.gate_projection(torch.cat([first, second], dim=-1)) + self.gate_bias
        shift = self.ctx_projection(self.norm_ctx(context))
        logit = logit + self.context_scale * shift.reshape(-1, 1, 1, 1)
        gate = logit.sigmoid()
        return Fused(gate * first + (1 - gate) * second, (1 - gate).squeeze(-1))


class CrossAttention(Fusion):
    """Semantic tokens attend to the generative tokens of their frame, in several layers."""

    def __init__(self, dim: int, heads: int = 8, layers: int = 1) -> None:
        super().__init__()
        if dim % 4 or dim % heads:
            msg = (
                f"cross_attention needs a width divisible by 4 and by its {heads} heads, not {dim}"
            )
            raise FusionError(msg)
        self.cross_attn_blocks = nn.ModuleList(_CrossBlock(dim, heads) for _ in range(layers))

    def fuse(self, semantic: Tensor, generative: Tensor, _context: Tensor | None) -> Fused:
        rows, cols, dim = semantic.shape[1:]
        position = sincos_position(rows, cols, dim).to(semantic)
        tokens, other = semantic.flatten(1, 2), generative.flatten(1, 2)
        for block in self.cross_attn_blocks:
            tokens = block(tokens, other, position)
        return Fused(tokens.reshape(semantic.shape), None)


class _CrossBlock(nn.Module):
    """a + MHA(LN(a) + pe, LN(b) + pe, LN(b)), then + MLP(LN)."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.norm1_query = nn.LayerNorm(dim)
        self.norm1_key = nn.LayerNorm(dim)
        self.norm1_value = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.cross_attention = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim)
        )

    def forward(self, tokens: Tensor, other: Tensor, position: Tensor) -> Tensor:
        query = self.norm1_query(tokens) + position
        key = self.norm1_key(other) + position
        attended, _ = self.cross_attention(query, key, self.norm1_value(other))
        tokens = tokens + attended
        mixed: Tensor = tokens + self.mlp(self.norm2(tokens))
        return mixed


def sincos_position(rows: int, cols: int, dim: int) -> Tensor:
    """2-D sine-cosine position code [rows * cols, dim], rows in its first half."""
    quarter = dim // 4
    frequency = 1 / 10000 ** (torch.arange(quarter) / quarter)
    halves = []
    grid = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
    for place in grid:
        angle = place.reshape(-1, 1) * frequency
        halves.append(torch.cat([angle.sin(), angle.cos()], dim=-1))
    return torch.cat(halves, dim=-1)


def build_fusion(method: str, dim: int, *, heads: int = 8, layers: int = 1) -> Fusion:
    """A fusion by its official name.

    Args:
        method: One of :data:`FUSION_METHODS`.
        dim: D, width of the tokens.
        heads: Attention heads, for cross_attention.
        layers: Layers, for cross_attention.

    Raises:
        FusionError: If the name is unknown.
    """
    builders: dict[str, Callable[[], Fusion]] = {
        "add": Add,
        "only": Only,
        "weighted": Weighted,
        "concat": lambda: Concat(dim),
        "gated": lambda: Gated(dim, dim),
        "token_gated": lambda: Gated(dim, 1),
        "token_gated_residual": lambda: TokenGatedResidual(dim),
        "instruction_token_gated": lambda: InstructionTokenGated(dim),
        "context_gated": lambda: InstructionTokenGated(dim),
        "cross_attention": lambda: CrossAttention(dim, heads, layers),
    }
    if method not in builders:
        msg = f"unknown fusion method {method!r}; known: {', '.join(FUSION_METHODS)}"
        raise FusionError(msg)
    return builders[method]()


FUSION_METHODS = (
    "add",
    "only",
    "weighted",
    "concat",
    "gated",
    "token_gated",
    "token_gated_residual",
    "instruction_token_gated",
    "context_gated",
    "cross_attention",
)
