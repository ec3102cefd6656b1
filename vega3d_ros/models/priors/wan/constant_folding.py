"""Wan's transformer as far as a hooked block, rewritten for one timestep and one prompt.

A prior asks the same question of every frame: one noise level, one text. What depends on these two
alone is computed once and folded into weights, in float32; the function is the same up to
rounding.

- Modulation: (1 + scale) and shift go into the layer after a norm, gates into the layer before the
  residual sum, the affine part of the text's norm into the query's projection.
- Text: see :class:`ConstantText`.
- Query, key and value are one projection, whose query and key channels are ordered so that the
  rotary embedding turns halves of a head instead of neighbours; their products stay the same.
- The patch embedding, a strided convolution, is a linear layer on patches.

Linear layers keep the weights' type; norms and the residual stream are float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from vega3d_ros.models.priors.base import PriorError

if TYPE_CHECKING:
    from diffusers import WanTransformer3DModel
    from diffusers.models.transformers.transformer_wan import WanAttention, WanTransformerBlock
    from torch import Tensor


class Text(NamedTuple):
    """The distinct tokens of a padded prompt.

    Attributes:
        tokens: [J, dim] float32, embedded; the padding, where there is any, is the last.
        counts: [J], how often each occurs.
    """

    tokens: Tensor
    counts: Tensor


def embed_text(model: WanTransformer3DModel, prompt: Tensor, text_length: int) -> Text:
    """Embed a prompt [L, text_dim] padded with zeros to ``text_length``; the padding only once."""
    padding = text_length - len(prompt)
    kinds = functional.pad(prompt.float(), (0, 0, 0, min(padding, 1)))
    embedder = model.condition_embedder.text_embedder
    hidden = embedder.act_1(_float_linear(embedder.linear_1, kinds))
    counts = torch.ones(len(kinds), device=prompt.device)
    counts[-1] = max(padding, 1)
    return Text(_float_linear(embedder.linear_2, hidden), counts)


def embed_timestep(model: WanTransformer3DModel, timestep: int) -> Tensor:
    """What a timestep adds to every block's modulation, [6, dim] float32."""
    embedder = model.condition_embedder
    device = embedder.time_proj.weight.device
    wave = embedder.timesteps_proj(torch.tensor([timestep], device=device)).float()
    hidden = embedder.time_embedder.act(_float_linear(embedder.time_embedder.linear_1, wave))
    hidden = embedder.act_fn(_float_linear(embedder.time_embedder.linear_2, hidden))
    return _float_linear(embedder.time_proj, hidden).view(6, -1)


class ConstantText(nn.Module):
    """Attention to a text that never changes.

    The J distinct keys stand for all of them, with the logarithm of their counts as a bias. Adding
    the same to all logits of a query changes nothing, so logits are taken relative to the last
    key; the softmax over the others then weighs how far its output moves away from the last value.
    With the output projection multiplied into the values, the attention of H heads is a matrix of
    H (J - 1) columns each way: for an empty prompt (one token, else padding), one gate per head.

    Args:
        attention: The cross-attention; its norm's weights and those of its query are folded in.
        norm: The affine norm before it.
        text: At least two distinct tokens.
    """

    def __init__(self, attention: WanAttention, norm: nn.LayerNorm, text: Text) -> None:
        super().__init__()
        dtype = attention.to_q.weight.dtype
        self.eps = float(attention.norm_q.eps)
        self.heads = int(attention.heads)
        weight, bias = attention.to_q.weight.float(), attention.to_q.bias.float()
        self.query = _linear(
            weight * norm.weight.float(), bias + weight @ norm.bias.float(), dtype
        )
        keys, values, base = _text_keys_and_values(attention, text)
        head_dim = keys.shape[-1]
        scale = attention.norm_q.weight.float().view(self.heads, head_dim) / head_dim**0.5
        # [H, J - 1, H, head_dim]: a head's columns see that head's channels only.
        own = torch.eye(self.heads, device=keys.device)[:, None, :, None]
        moved = ((keys[:-1] - keys[-1:]) * scale).transpose(0, 1)
        self.keys = _linear((moved[:, :, None] * own).flatten(2).flatten(0, 1), None, dtype)
        counts = text.counts.float()
        self.register_buffer("bias", (counts[:-1] / counts[-1]).log(), persistent=False)
        project = attention.to_out[0].weight.float().unflatten(1, (self.heads, head_dim))
        moves = torch.einsum("ohd,jhd->ohj", project, values[:-1] - values[-1:])
        self.out = _linear(moves.flatten(1), base, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, dim] normalised, without affine part -> [N, T, dim] to be added."""
        query = self.query(x)
        scale = query.float().square().mean(-1, keepdim=True).add(self.eps).rsqrt()
        logits = (self.keys(query) * scale).unflatten(-1, (self.heads, -1)) + self.bias
        weights = functional.pad(logits, (0, 1)).softmax(-1)[..., :-1]
        added: Tensor = self.out(weights.flatten(2).to(x.dtype))
        return added


class FoldedBlock(nn.Module):
    """One block of Wan's transformer for one timestep and one prompt.

    Args:
        block: The block; its weights are copied.
        time: [6, dim] of :func:`embed_timestep`.
        text: Of :func:`embed_text`.

    Raises:
        PriorError: If the block is not one of a Wan text-to-video transformer.
    """

    text: ConstantText | None

    def __init__(self, block: WanTransformerBlock, time: Tensor, text: Text) -> None:
        super().__init__()
        attention, cross = block.attn1, block.attn2
        if cross.add_k_proj is not None or not isinstance(block.norm2, nn.LayerNorm):
            msg = "only Wan text-to-video transformers can be a prior, this one takes images"
            raise PriorError(msg)
        dtype = attention.to_q.weight.dtype
        self.eps = float(block.norm1.eps)
        self.heads = int(attention.heads)
        modulation = block.scale_shift_table.float()[0] + time
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = modulation

        halves = _halves(attention.to_q.out_features, self.heads).to(shift.device)
        parts = [
            (attention.to_q.weight[halves], attention.to_q.bias[halves]),
            (attention.to_k.weight[halves], attention.to_k.bias[halves]),
            (attention.to_v.weight, attention.to_v.bias),
        ]
        weight = torch.cat([w for w, _ in parts]).float()
        bias = torch.cat([b for _, b in parts]).float()
        self.qkv = _linear(weight * (1 + scale), bias + weight @ shift, dtype)
        self.qk_eps = float(attention.norm_q.eps)
        self.q_norm = _parameter(attention.norm_q.weight[halves], dtype)
        self.k_norm = _parameter(attention.norm_k.weight[halves], dtype)
        out = attention.to_out[0]
        out_bias = out.bias.float() * gate
        if len(text.tokens) > 1:
            self.text = ConstantText(cross, block.norm2, text)
        else:  # one key gets all attention, whatever the query is
            self.text = None
            out_bias = out_bias + _text_keys_and_values(cross, text)[2]
        self.out = _linear(out.weight.float() * gate[:, None], out_bias, dtype)
        first, last = block.ffn.net[0].proj, block.ffn.net[2]
        weight = first.weight.float()
        self.ffn_in = _linear(
            weight * (1 + ffn_scale), first.bias.float() + weight @ ffn_shift, dtype
        )
        self.ffn_out = _linear(
            last.weight.float() * ffn_gate[:, None], last.bias.float() * ffn_gate, dtype
        )

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Residual stream [N, T, dim] float32; angles [T, 1, head_dim / 2]."""
        q, k, v = self.qkv(self._normed(x)).chunk(3, dim=-1)
        q = functional.rms_norm(q, q.shape[-1:], self.q_norm, self.qk_eps)
        k = functional.rms_norm(k, k.shape[-1:], self.k_norm, self.qk_eps)
        q = _turned(torch.unflatten(q, -1, (self.heads, -1)), cos, sin).to(v.dtype)
        k = _turned(torch.unflatten(k, -1, (self.heads, -1)), cos, sin).to(v.dtype)
        v = torch.unflatten(v, -1, (self.heads, -1))
        mixed = functional.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        )
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        if self.text is not None:
            x = x + self.text(self._normed(x))
        hidden = functional.gelu(self.ffn_in(self._normed(x)), approximate="tanh")
        added: Tensor = x + self.ffn_out(hidden)
        return added

    def _normed(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], eps=self.eps).to(self.out.weight.dtype)


class FoldedTransformer(nn.Module):
    """Wan's transformer as far as its last block, for one timestep and one prompt.

    Args:
        model: The transformer; its weights are copied.
        blocks: How many of its blocks are taken.
        prompt: [L, text_dim].
        text_length: Length to which the prompt is padded with zeros.
        timestep: Fed to the time embedding.

    Raises:
        PriorError: If it is not a Wan text-to-video transformer.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: WanTransformer3DModel,
        blocks: int,
        prompt: Tensor,
        text_length: int,
        timestep: int,
    ) -> None:
        super().__init__()
        text = embed_text(model, prompt, text_length)
        time = embed_timestep(model, timestep)
        self.blocks = nn.ModuleList(
            FoldedBlock(block, time, text) for block in model.blocks[:blocks]
        )
        self.rope = model.rope
        _, self.patch, _ = model.config.patch_size
        embedding = model.patch_embedding
        self.patch_embedding = _linear(embedding.weight.flatten(1), embedding.bias, torch.float32)

    def forward(self, latents: Tensor) -> Tensor:
        """Noisy latents [N, C, T, H, W] float32 -> [N, T, rows, columns, dim] float32."""
        patch = self.patch
        rows, columns = latents.shape[3] // patch, latents.shape[4] // patch
        patches = torch.unflatten(torch.unflatten(latents, 4, (columns, patch)), 3, (rows, patch))
        x = self.patch_embedding(patches.permute(0, 2, 3, 5, 1, 4, 6).flatten(4))
        grid = x.shape[1:4]
        x = x.flatten(1, 3)
        cos, sin = self.rope(latents)  # [1, T, 1, head_dim], each angle twice
        cos, sin = cos[0, ..., ::2], sin[0, ..., ::2]
        for block in self.blocks:
            x = block(x, cos, sin)
        tokens: Tensor = torch.unflatten(x, 1, grid)
        return tokens


def _text_keys_and_values(attention: WanAttention, text: Text) -> tuple[Tensor, Tensor, Tensor]:
    """Keys and values [J, H, head_dim], and the output [dim] where only the last is attended."""
    heads = (int(attention.heads), -1)
    keys = _float_linear(attention.to_k, text.tokens)
    norm = attention.norm_k
    keys = functional.rms_norm(keys, keys.shape[-1:], norm.weight.float(), norm.eps)
    values = _float_linear(attention.to_v, text.tokens)
    base = _float_linear(attention.to_out[0], values[-1])
    return torch.unflatten(keys, -1, heads), torch.unflatten(values, -1, heads), base


def _halves(dim: int, heads: int) -> Tensor:
    """Order of channels that puts the even ones of each head before its odd ones."""
    return torch.arange(dim).view(heads, -1, 2).transpose(1, 2).flatten()


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of [N, T, H, head_dim] whose channels are in the order of ``_halves``."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _float_linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return functional.linear(x, layer.weight.float(), layer.bias.float())


def _linear(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = _parameter(weight, dtype)
    layer.bias = None if bias is None else _parameter(bias, dtype)  # type: ignore[assignment]
    return layer


def _parameter(value: Tensor, dtype: torch.dtype) -> nn.Parameter:
    copied = value.detach().to(dtype, copy=True).contiguous()
    return nn.Parameter(copied, requires_grad=False)
