"""Runs jobs: in this process, in several, or as tasks of a Ray cluster.

Each process loads the model once. On a cluster, recordings and the run's folder must lie under the
same paths on every machine (a shared file system), and the package must be installed there.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.threads import worker_environment
from vega3d_ros.evaluation.bag_run import (
    COMPLETE,
    FAILED,
    PARTIAL,
    Interrupted,
    run_bag,
    write_record,
)
from vega3d_ros.evaluation.schema import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vega3d_ros.evaluation.bag_run import BagRun
    from vega3d_ros.perception.settings import Parameters
    from vega3d_ros.perception.worker import PerceiverLike

    Progress = Callable[[str, float, float], None]
    Load = Callable[[Parameters], PerceiverLike]

_POLL_S = 0.3
_RUNTIME_BYTES = 900 << 20  # Python, torch, transformers and buffers of one process, measured
_TRIES = 2
LOCAL = "local"
_RAY_RETRIES = 2
_RAY_POLL_S = 1.0
_loaded: dict[Parameters, PerceiverLike] = {}  # of a process of Ray


def load_model(parameters: Parameters) -> PerceiverLike:
    """The model of a node's parameters, loaded and warmed up as in the node."""
    from vega3d_ros.perception.loading import load_configured  # noqa: PLC0415 - imports torch

    return load_configured(parameters)


def check_memory(workers: int, parameters: Parameters) -> None:
    """Check that the workers' copies of a model fit into free memory, on device and host.

    A model on a GPU passes through the host's memory while it is loaded.

    Raises:
        RunError: If they do not fit; it says how many would.
        CapacityError: If there is no such device.
        CheckpointError: If there is no such model.
    """
    from vega3d_ros.models.checkpoints import device_memory  # noqa: PLC0415 - imports torch
    from vega3d_ros.models.checkpoints.load import locate  # noqa: PLC0415
    from vega3d_ros.models.checkpoints.memory_estimate import UNKNOWN, estimate  # noqa: PLC0415
    from vega3d_ros.models.memory import Workload  # noqa: PLC0415

    device = device_memory.pick_device(parameters.device)
    dtype = device_memory.pick_dtype(parameters.dtype, device)
    folder, workload = locate(parameters.model), Workload(frames=parameters.clip_length)
    try:
        model = estimate(folder, dtype, workload).total
    except UNKNOWN:
        return  # a file is missing or damaged; loading the model reports it
    needs = {"cpu": _RUNTIME_BYTES + model}
    if device != "cpu":
        needs[device] = device_memory.CUDA_BYTES + model
    for place, each in needs.items():
        free, _ = device_memory.available(place)
        if workers * each > free:
            fit = max(1, free // each)
            msg = (
                f"{workers} workers need about {workers * each / 2**30:.1f} GiB of memory on "
                f"{place}, {free / 2**30:.1f} GiB are free; use --workers {fit}"
            )
            raise RunError(msg)


def run_here(
    jobs: Sequence[BagRun], perceiver: PerceiverLike, progress: Progress
) -> list[dict[str, Any]]:
    """Do jobs one after the other in this process; an interrupt ends all of them."""
    records = []
    for job in jobs:

        def report(done_s: float, all_s: float, name: str = job.name) -> None:
            progress(name, done_s, all_s)

        records.append(run_bag(job, perceiver, report))
        if records[-1]["status"] == PARTIAL:
            break
        if records[-1]["status"] == COMPLETE:
            progress(job.name, 1.0, 1.0)
    return records


def run_in_workers(
    jobs: Sequence[BagRun], workers: int, progress: Progress, load: Load = load_model
) -> None:
    """Do jobs in several processes. A job whose process dies is tried once more, alone.

    Raises:
        KeyboardInterrupt: After the processes have written the results of their jobs so far.
    """
    left = {job.name: job for job in jobs}
    for attempt in range(_TRIES):
        # The second time each job has a pool of its own, so that its crash ends no other job.
        groups = [list(left.values())] if attempt == 0 else [[job] for job in left.values()]
        for group in groups:
            for name in _run_pool(group, min(workers, len(group)), progress, load):
                left.pop(name)
        if not left:
            return
    for job in left.values():
        error = "its process died, twice: not enough memory, or a library crashed"
        write_record(job, {"status": FAILED, "error": error})


def _run_pool(group: Sequence[BagRun], workers: int, progress: Progress, load: Load) -> list[str]:
    """Names of the jobs that ended, not of those whose process died."""
    context = multiprocessing.get_context("spawn")
    stop, queue = context.Event(), context.Queue()
    pool = ProcessPoolExecutor(
        workers,
        context,
        initializer=_begin,
        initargs=(stop, queue, load, group[0], worker_environment()),
    )
    ended = []
    try:
        pending: dict[Future[str], str] = {pool.submit(_do, job): job.name for job in group}
        while pending:
            done, _ = wait(pending, _POLL_S, FIRST_COMPLETED)
            while not queue.empty():
                progress(*queue.get())
            for future in done:
                pending.pop(future)
                try:
                    ended.append(future.result())
                except BrokenProcessPool:
                    continue
        for name in ended:
            progress(name, 1.0, 1.0)
    except KeyboardInterrupt:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()
    return ended


class _Worker:
    """State of a process between its jobs."""

    stop: Any
    queue: Any
    perceiver: PerceiverLike


def _begin(stop: Any, queue: Any, load: Load, job: BagRun, environment: dict[str, str]) -> None:
    # Ctrl-C reaches all processes; the first one ends the others in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _Worker.stop, _Worker.queue = stop, queue
    os.environ.update(environment)  # before torch is imported
    _Worker.perceiver = load(job.parameters)


def _do(job: BagRun) -> str:
    reported_s = 0.0

    def progress(done_s: float, all_s: float) -> None:
        nonlocal reported_s
        if _Worker.stop.is_set():
            raise Interrupted
        if time.monotonic() - reported_s > _POLL_S:
            reported_s = time.monotonic()
            _Worker.queue.put((job.name, done_s, all_s))

    run_bag(job, _Worker.perceiver, progress)
    return job.name


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
        task = ray.remote(
            num_cpus=1, num_gpus=gpus, max_retries=_RAY_RETRIES, retry_exceptions=True
        )(_do_on_ray)
        names = {task.remote(job, load, worker_environment()): job for job in jobs}
        pending = list(names)
        while pending:
            done, pending = ray.wait(pending, timeout=_RAY_POLL_S)
            for reference in done:
                job = names[reference]
                try:
                    ray.get(reference)
                except ray.exceptions.RayError as error:
                    last = str(error).strip().splitlines()[-1]
                    text = (
                        f"its task failed {1 + _RAY_RETRIES} times: {type(error).__name__} {last}"
                    )
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


def _do_on_ray(job: BagRun, load: Load, environment: dict[str, str]) -> str:
    parameters = job.parameters
    if parameters not in _loaded:
        os.environ.update(environment)  # before torch is imported
        _loaded[parameters] = load(parameters)
    run_bag(job, _loaded[parameters], lambda _done, _all: None)
    return job.name
