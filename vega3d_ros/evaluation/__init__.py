"""Evaluation of models, each figure beside its baselines.

The way of the data: ``sources`` say what is shown, asked and true; ``schema`` holds questions,
predictions and scored rows; ``scoring`` and ``metrics`` score, ``statistics`` makes figures with
intervals beside ``baselines``, ``report`` writes them.

Recordings: ``bag_run`` does all of this for one, ``run`` for many, here, in processes or on Ray;
``run_log`` is what a run resumes from, ``figures`` needs no truth. Simulated clips: ``sim_eval``.
Published benchmarks: ``tasks`` and ``benchmark_run``. Runs of other settings neither mix nor
vanish in a ``run_folder``; ``provenance`` says what made them. ``command``, ``benchmark_command``
and ``compare`` are commands.
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
            "run_log": ("RunLog",),
            "sources.offline": ("OfflineRun",),
        },
    )
