"""Wan, a video diffusion transformer, as a prior."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = ["WanPrior", "WanPriorConfig"]

if TYPE_CHECKING:
    from vega3d_ros.models.priors.wan.config import WanPriorConfig
    from vega3d_ros.models.priors.wan.prior import WanPrior
else:
    __getattr__ = lazily(__name__, {"config": ("WanPriorConfig",), "prior": ("WanPrior",)})
