"""Training: the prior on unlabelled clips, the semantic encoder on names, the rest on answers."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = ["FusionTraining", "LanguageTraining", "PriorTrainingConfig", "VisionTowerTraining"]

if TYPE_CHECKING:
    from vega3d_ros.training.train_fusion import FusionTraining
    from vega3d_ros.training.train_language import LanguageTraining
    from vega3d_ros.training.train_prior import PriorTrainingConfig
    from vega3d_ros.training.train_vision_tower import VisionTowerTraining
else:
    __getattr__ = lazily(
        __name__,
        {
            "train_fusion": ("FusionTraining",),
            "train_language": ("LanguageTraining",),
            "train_prior": ("PriorTrainingConfig",),
            "train_vision_tower": ("VisionTowerTraining",),
        },
    )
