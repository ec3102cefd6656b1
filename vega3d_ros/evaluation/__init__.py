"""Evaluation of models, each figure beside its baselines.

Common to all: ``schema`` (questions, predictions, scored rows), ``metrics``, ``statistics``,
``baselines``, ``report`` with ``sections`` and ``html``, and ``run_folder``, in which runs of
other settings neither mix nor vanish.

Simulated clips: ``sim_eval`` asks models and ``clip_baselines``. Published benchmarks:
``benchmarks``. Recordings: ``offline`` runs one through the node's code, ``live_adapter`` brings
a live run into the same form (``run_log``); ``truth`` and ``results`` score it, ``figures`` needs
no truth, ``failure_images`` and ``bag_report`` show it. ``bag_run`` does all of this for one
recording, ``workers`` and ``ray_workers`` for many at once. ``command`` is ``vega3d evaluate``,
``compare`` is ``vega3d compare``.
"""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = ["OfflineRun", "RunLog", "answer_score"]

if TYPE_CHECKING:
    from vega3d_ros.evaluation.metrics.simulated import answer_score
    from vega3d_ros.evaluation.run_log import RunLog
    from vega3d_ros.evaluation.sources.offline import OfflineRun
else:
    __getattr__ = lazily(
        __name__,
        {
            "metrics.simulated": ("answer_score",),
            "offline": ("OfflineRun",),
            "run_log": ("RunLog",),
        },
    )
