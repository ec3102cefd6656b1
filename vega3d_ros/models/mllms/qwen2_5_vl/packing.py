"""Many questions on one prefix in one forward pass.

Suffixes that share a prefix are laid end to end; each sees the prefix and itself, none sees
another. The result is that of running each alone, at the cost of their own tokens only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

PREFIX = -1
OBJECTS = -2


@dataclass(frozen=True, eq=False)
class Packed:
    """Suffixes laid end to end.

    Attributes:
        ids: [S] token ids.
        owners: [S], which suffix a token belongs to.
        offsets: [S], a token's place in its suffix.
        ends: [suffixes], index of each suffix's last token.
    """

    ids: Tensor
    owners: Tensor
    offsets: Tensor
    ends: Tensor

    @classmethod
    def of(cls, suffixes: Sequence[Sequence[int]]) -> Packed:
        """Lay suffixes, each at least one token long, end to end."""
        lengths = torch.tensor([len(suffix) for suffix in suffixes])
        return cls(
            torch.tensor([token for suffix in suffixes for token in suffix]),
            torch.repeat_interleave(torch.arange(len(suffixes)), lengths),
            torch.cat([torch.arange(int(length)) for length in lengths]),
            lengths.cumsum(0) - 1,
        )


def visible(query_owners: Tensor, key_owners: Tensor, told: Tensor | bool = True) -> Tensor:
    """Which keys each query may attend to, bool [queries, keys].

    The queries are the newest keys. A token sees what came before it of the prefix (owner
    ``PREFIX``) and of its own suffix, and those that are ``told`` see the object tokens (owner
    ``OBJECTS``), too.

    Args:
        query_owners: [queries].
        key_owners: [keys].
        told: [queries], or one value for all.
    """
    queries, keys = len(query_owners), len(key_owners)
    earlier = torch.ones(queries, keys, dtype=torch.bool, device=key_owners.device)
    earlier = earlier.tril(diagonal=keys - queries)
    own = query_owners[:, None] == key_owners[None]
    told = torch.as_tensor(told, device=key_owners.device).expand(queries)
    objects = (key_owners == OBJECTS)[None] & told[:, None]
    return earlier & (own | objects | (key_owners == PREFIX)[None])


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A bool mask as what attention adds to its scores: 0 where visible, else the lowest value."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(
        ~mask, torch.finfo(dtype).min
    )
