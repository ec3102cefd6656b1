"""Model folders: what they hold, what memory they need, reading and writing them."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = ["Modules", "load_modules", "save_modules"]

if TYPE_CHECKING:
    from vega3d_ros.models.checkpoints.load import load_modules
    from vega3d_ros.models.checkpoints.modules import Modules
    from vega3d_ros.models.checkpoints.save import save_modules
else:
    __getattr__ = lazily(
        __name__, {"load": ("load_modules",), "modules": ("Modules",), "save": ("save_modules",)}
    )
