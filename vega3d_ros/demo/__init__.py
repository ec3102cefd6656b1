"""The demo: a node, a recording on real topics, questions meanwhile, a report."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = ["make_report"]

if TYPE_CHECKING:
    from vega3d_ros.demo.report import make_report
else:
    __getattr__ = lazily(__name__, {"report": ("make_report",)})
