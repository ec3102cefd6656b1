"""How near two float32 computations of the same numbers must come.

The same network gives other last bits on another processor: vector width, fused multiply-adds and
the number of threads set the order in which sums are taken. A sum rounds by an epsilon of its
largest terms, not of its result, so the small entries of a tensor are as uncertain as its large
ones. Errors are therefore bounded in epsilons of the largest magnitude of the tensor. An absolute
bound is too strict where values are large, and says nothing where they are small.
"""

from __future__ import annotations

import torch

ROUNDING = {
    "elementwise": 4,  # a handful of operations on each value, interpolation
    "layer": 32,  # a few matrix products, norms and a softmax behind each other
    "network": 64,  # an autoencoder, a tower, a language model, or all of them
}
"""Epsilons that rounding may cost, by the depth of what is computed: about three times the most
that was seen with and without vector units, with one thread and with two."""

SAME_CONFIDENCE = 1e-4
"""Relative. A probability is the exponential of a logit, so that its relative error is the error
of the logit: 64 epsilons of a magnitude of 13."""

NEAR_ZERO = 1e-6
"""Magnitude attributed to a tensor of zeros, in whose place there may be rounding."""


def _epsilon(expected, dtype) -> float:
    largest = float(torch.as_tensor(expected).detach().abs().max())
    return torch.finfo(dtype).eps * max(largest, NEAR_ZERO)


def error_in_epsilons(actual, expected, dtype=torch.float32) -> float:
    """Largest difference, in epsilons of ``dtype`` times the largest expected magnitude."""
    found = torch.as_tensor(actual).detach().double()
    wanted = torch.as_tensor(expected).detach().double()
    assert found.shape == wanted.shape, f"shape {tuple(found.shape)}, not {tuple(wanted.shape)}"
    if not wanted.numel():
        return 0.0
    return float((found - wanted).abs().max()) / _epsilon(wanted, dtype)


def assert_close_to_magnitude(
    actual, expected, depth, *, dtype=torch.float32, resolution=0.0
) -> None:
    """Fail where tensors or arrays differ by more than rounding explains, or hold NaN.

    Args:
        actual: What was computed.
        expected: What it is to be, of the same shape.
        depth: Of what lies between their common inputs and them; a name in ``ROUNDING``.
        dtype: In which they were computed.
        resolution: Half the last digit to which ``expected`` was written down.
    """
    allowed = ROUNDING[depth] + resolution / _epsilon(expected, dtype)
    error = error_in_epsilons(actual, expected, dtype)
    assert error <= allowed, (  # NaN is not
        f"differs by {error:.1f} epsilons of the largest magnitude; the rounding of one "
        f"{depth} explains {allowed:.0f}"
    )


def differs_beyond_rounding(one, other) -> bool:
    """Whether two results are of different inputs: no rounding makes them that unlike."""
    return error_in_epsilons(one, other) > 10 * ROUNDING["network"]
