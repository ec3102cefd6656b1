"""How near two computations of the same numbers must come.

The same network gives other last bits on another processor: vector width, fused multiply-adds and
the number of threads set the order in which sums are taken. A sum rounds by an epsilon of its
largest terms, not of its result, so that small entries of a large tensor are as uncertain as the
large ones. A bound on an error is therefore told in epsilons of the largest magnitude of the
tensor; an absolute bound is too strict for large values and says nothing about small ones.
"""

from __future__ import annotations

import torch

ROUNDING = {
    "elementwise": 4,  # a handful of operations on each value
    "layer": 16,  # one or two matrix products, norms, a softmax
    "block": 64,  # a few layers behind each other, or an encoder of convolutions
    "network": 256,  # a whole tower, language model, or both
}
"""Epsilons that rounding may cost by the depth of what is computed; each is at least twice, and
at most about ten times, what the processors differ by (`make test-robust` runs them)."""

NEAR_ZERO = 1e-6
"""Magnitude that is attributed to a tensor of zeros, in whose place there may be rounding."""


def error_in_epsilons(actual, expected) -> float:
    """Largest difference, in epsilons of the coarser type times the largest expected magnitude."""
    found, wanted = torch.as_tensor(actual), torch.as_tensor(expected)
    assert found.shape == wanted.shape, f"shape {tuple(found.shape)}, not {tuple(wanted.shape)}"
    if not wanted.numel():
        return 0.0
    types = [t.dtype for t in (found, wanted) if t.is_floating_point()]
    epsilon = max(torch.finfo(dtype).eps for dtype in types)
    found, wanted = found.detach().double(), wanted.detach().double()
    magnitude = max(float(wanted.abs().max()), NEAR_ZERO)
    return float((found - wanted).abs().max()) / (epsilon * magnitude)


def assert_close_to_magnitude(actual, expected, depth: str) -> None:
    """Fail where two tensors or arrays differ by more than rounding explains.

    ``depth`` names in ``ROUNDING`` how much lies between the inputs and what is compared.
    """
    error = error_in_epsilons(actual, expected)
    # Written so that NaN fails.
    assert error <= ROUNDING[depth], (
        f"differs by {error:.1f} epsilons of the largest magnitude, {ROUNDING[depth]} explain "
        f"the rounding of a {depth}"
    )
