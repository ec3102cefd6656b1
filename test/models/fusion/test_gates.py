"""Projectors and gates against numbers of the official code, and their contracts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.closeness import assert_close_to_magnitude

from vega3d_ros.models.fusion.gates import (
    FUSION_METHODS,
    FusionError,
    GenerativeMerger,
    MlpProjector,
    build_fusion,
    resample_grid,
)

pytestmark = pytest.mark.numeric

GOLDEN = load_file(Path(__file__).parents[2] / "data" / "fusion.safetensors")
# Cases that both branches compute alike are stored once, under "sr".
CASES = sorted({key.rsplit(".fused", 1)[0] for key in GOLDEN if key.endswith(".fused")})
GATED = {
    "gated",
    "token_gated",
    "token_gated_residual",
    "instruction_token_gated",
    "context_gated",
}


def state_of(case: str) -> dict[str, torch.Tensor]:
    prefix = f"{case}.state."
    return {key[len(prefix) :]: value for key, value in GOLDEN.items() if key.startswith(prefix)}


def golden_fusion(case: str, state: dict[str, torch.Tensor]) -> torch.nn.Module:
    fusion = build_fusion(case.partition(".")[2], 32, heads=4, layers=2).eval()
    fusion.load_state_dict(state, strict=True)
    return fusion


@pytest.mark.parametrize("case", CASES)
def test_equals_official(case: str) -> None:
    fusion = golden_fusion(case, state_of(case))
    semantic, generative, fused = (
        GOLDEN[f"{case}.{name}"].reshape(1, 4, 4, 32)
        for name in ("semantic", "generative", "fused")
    )
    found = fusion(semantic, generative, GOLDEN.get(f"{case}.context"))
    assert_close_to_magnitude(found.tokens, fused, "layer")


def test_cases_are_all_there() -> None:
    official = set(FUSION_METHODS) - {"only", "context_gated"}
    assert {case.partition(".")[2] for case in CASES} == official


@pytest.mark.parametrize("case", [case for case in CASES if state_of(case)])
def test_incomplete_state_is_refused(case: str) -> None:
    state = state_of(case)
    state.pop(next(iter(state)))
    with pytest.raises(RuntimeError, match="Missing key"):
        golden_fusion(case, state)


def test_golden_numbers_tell_gates_apart() -> None:
    case = "sr.token_gated_residual"
    state = state_of(case)
    state.pop("residual_scale")
    other = build_fusion("token_gated", 32)
    other.load_state_dict(state)
    semantic, generative, fused = (
        GOLDEN[f"{case}.{name}"].reshape(1, 4, 4, 32)
        for name in ("semantic", "generative", "fused")
    )
    assert (other(semantic, generative).tokens - fused).abs().max() > 0.1


@pytest.mark.parametrize("method", FUSION_METHODS)
def test_shape_gate_and_gradient(method: str) -> None:
    torch.manual_seed(0)
    fusion = build_fusion(method, 16, heads=2)
    semantic = torch.randn(2, 3, 5, 16, requires_grad=True)
    generative = torch.randn(2, 3, 5, 16, requires_grad=True)
    fused = fusion(semantic, generative, torch.randn(2, 16))
    assert fused.tokens.shape == semantic.shape
    fused.tokens.square().sum().backward()
    assert generative.grad is not None
    assert generative.grad.abs().sum() > 0
    assert all(p.grad is not None for p in fusion.parameters())
    if method in GATED:
        assert fused.gate is not None
        assert fused.gate.shape == (2, 3, 5)
        assert bool(((fused.gate > 0) & (fused.gate < 1)).all())
    else:
        assert fused.gate is None


@pytest.mark.parametrize("method", ["token_gated", "token_gated_residual"])
def test_gate_is_share_of_generator(method: str) -> None:
    fusion = build_fusion(method, 8)
    semantic, generative = torch.randn(1, 2, 2, 8), torch.randn(1, 2, 2, 8)
    with torch.no_grad():
        fusion.gate_projection[0].weight.zero_()
        fusion.gate_projection[0].bias.fill_(-30.0)  # g = 0: all generator
        fused = fusion(semantic, generative)
        assert_close_to_magnitude(fused.gate, torch.ones(1, 2, 2), "elementwise")
        if method == "token_gated":
            assert_close_to_magnitude(fused.tokens, fusion.norm2(generative), "elementwise")
        else:
            assert_close_to_magnitude(fused.tokens, semantic.lerp(generative, 0.2), "elementwise")


def test_wrong_use_is_explained() -> None:
    with pytest.raises(FusionError, match="token_gated_residual"):
        build_fusion("gate", 8)
    with pytest.raises(FusionError, match="resample"):
        build_fusion("add", 8)(torch.zeros(1, 2, 2, 8), torch.zeros(1, 2, 3, 8))
    with pytest.raises(FusionError, match="context"):
        build_fusion("context_gated", 8)(torch.zeros(1, 2, 2, 8), torch.zeros(1, 2, 2, 8))
    with pytest.raises(FusionError, match="divisible"):
        build_fusion("cross_attention", 10)
    with pytest.raises(FusionError, match="merger"):
        GenerativeMerger(8, 8, kind="max")  # type: ignore[arg-type]


def test_projector_has_official_names() -> None:
    projector = MlpProjector(6, 4)
    assert set(projector.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert projector(torch.zeros(1, 2, 3, 6)).shape == (1, 2, 3, 4)


def test_merger_order_and_odd_sizes() -> None:
    merger = GenerativeMerger(1, 4, 4)
    merger.mlp = torch.nn.Sequential(torch.nn.Identity())
    merger.ln_q = torch.nn.Identity()
    tokens = torch.arange(15.0).reshape(1, 3, 5, 1)
    seen = merger(tokens)
    assert seen.shape == (1, 1, 2, 4)
    assert seen[0, 0].tolist() == [[0, 1, 5, 6], [2, 3, 7, 8]]
    average = GenerativeMerger(1, 4, 4, kind="avg")
    average.mlp = torch.nn.Sequential(torch.nn.Identity())
    assert average(tokens)[0, 0].tolist() == [[3], [5]]
    assert set(GenerativeMerger(2, 4, 4).state_dict()) == {
        "ln_q.weight", "mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias",
    }  # fmt: skip


def test_resample_grid() -> None:
    tokens = torch.rand(2, 4, 6, 3)
    assert resample_grid(tokens, 4, 6) is tokens
    halved = resample_grid(tokens, 2, 3)
    expected = tokens.unflatten(2, (3, 2)).unflatten(1, (2, 2)).mean((2, 4))
    assert_close_to_magnitude(halved, expected, "elementwise")
    assert resample_grid(tokens.bfloat16(), 2, 3).dtype == torch.bfloat16
