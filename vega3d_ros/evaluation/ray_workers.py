"""Recordings as tasks of a Ray cluster.

Recordings and the run's folder must lie under the same paths on every machine (a shared file
system), and the package must be installed there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vega3d_ros.core.threads import worker_environment
from vega3d_ros.evaluation.bag_run import FAILED, run_bag, write_record
from vega3d_ros.evaluation.schema import RunError
from vega3d_ros.evaluation.workers import load_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vega3d_ros.evaluation.bag_run import BagRun
    from vega3d_ros.evaluation.workers import Load, Progress
    from vega3d_ros.perception.settings import Parameters
    from vega3d_ros.perception.worker import PerceiverLike

LOCAL = "local"
_RETRIES = 2
_POLL_S = 1.0
_loaded: dict[Parameters, PerceiverLike] = {}


def run_on_ray(
    jobs: Sequence[BagRun],
    address: str,
    workers: int,
    progress: Progress,
    load: Load = load_model,
) -> None:
    """Do jobs as tasks; a task that fails, or whose machine does, is tried twice more.

    A lost task continues after the results that it has written. A task that fails for good ends
    its own job alone.

    Args:
        jobs: The jobs.
        address: Of the cluster, as Ray knows it (``auto``, ``ray://host:10001``); ``local`` starts
            one on this machine.
        workers: Tasks at once on a local one.
        progress: Called for each job that has ended.
        load: Loads the model, once in each of Ray's processes.

    Raises:
        RunError: If Ray is not installed, or the cluster lacks a GPU that is asked for.
    """
    try:
        import ray  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        msg = "--ray needs Ray: pip install 'vega3d-ros[ray]'"
        raise RunError(msg) from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # sends no usage statistics
    if address == LOCAL:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    else:
        ray.init(address=address, log_to_driver=False)
    try:
        gpus = gpus_of_a_task(jobs[0].parameters.device, ray.cluster_resources())
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES, retry_exceptions=True)(
            _do
        )
        names = {task.remote(job, load, worker_environment()): job for job in jobs}
        pending = list(names)
        while pending:
            done, pending = ray.wait(pending, timeout=_POLL_S)
            for reference in done:
                job = names[reference]
                try:
                    ray.get(reference)
                except ray.exceptions.RayError as error:
                    last = str(error).strip().splitlines()[-1]
                    text = f"its task failed {1 + _RETRIES} times: {type(error).__name__} {last}"
                    write_record(job, {"status": FAILED, "error": text})
                progress(job.name, 1.0, 1.0)
    finally:
        # The results of interrupted tasks are kept; the next run continues there.
        ray.shutdown()


def gpus_of_a_task(device: str, resources: Mapping[str, float]) -> int:
    """1 if the model runs on CUDA, because Ray hides GPUs from a task that requests none.

    Raises:
        RunError: If CUDA is asked for, and the cluster has none.
    """
    if device == "cpu":
        return 0
    has = resources.get("GPU", 0) >= 1
    if not has and device != "auto":
        msg = f"--device {device}: the cluster has no GPU; start its nodes with --num-gpus"
        raise RunError(msg)
    return int(has)


def _do(job: BagRun, load: Load, environment: dict[str, str]) -> str:
    parameters = job.parameters
    if parameters not in _loaded:
        os.environ.update(environment)  # before torch is imported
        _loaded[parameters] = load(parameters)
    run_bag(job, _loaded[parameters], lambda _done, _all: None)
    return job.name
