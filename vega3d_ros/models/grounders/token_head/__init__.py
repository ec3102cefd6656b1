"""The token head: every visual token proposes a box, a query scores the tokens."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = ["GroundingHead", "TokenHeadGrounder"]

if TYPE_CHECKING:
    from vega3d_ros.models.grounders.token_head.grounder import TokenHeadGrounder
    from vega3d_ros.models.grounders.token_head.head import GroundingHead
else:
    __getattr__ = lazily(
        __name__, {"grounder": ("TokenHeadGrounder",), "head": ("GroundingHead",)}
    )
