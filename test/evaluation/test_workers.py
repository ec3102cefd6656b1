"""Recordings on several processes, here and on Ray: none takes another down."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path

import pytest
import torch
from support.drive_bags import write_drive
from support.fake_perceiver import load

from vega3d_ros.cli.main import main
from vega3d_ros.evaluation import run as workers
from vega3d_ros.evaluation.bag_run import COMPLETE, FAILED, BagRun, read_record
from vega3d_ros.evaluation.run import gpus_of_a_task, run_in_workers
from vega3d_ros.models.checkpoints import device_memory as capacity
from vega3d_ros.perception.settings import Parameters, load_parameters

PARAMETERS = Parameters(model="deadly", keyframe_translation_m=0.079)


@pytest.fixture
def jobs(drive_bag, tmp_path):
    """A good bag, one that cannot be read, and one that kills whoever runs it."""
    write_drive(tmp_path / "deadly", frames=40, size=(100, 75))  # more than three tries see
    (tmp_path / "bad.mcap").write_bytes(b"no bag" * 9)
    bags = {"good": drive_bag.path, "bad": tmp_path / "bad.mcap", "deadly": tmp_path / "deadly"}
    return [
        BagRun(
            bag=bag,
            name=name,
            folder=tmp_path / "out" / name,
            model_hash="0",
            parameters=PARAMETERS,
        )
        for name, bag in bags.items()
    ]


def ended(jobs):
    records = {job.name: read_record(job.folder) for job in jobs}
    return {name: record["status"] for name, record in records.items()}, records


def silent(_name, _done_s, _all_s):
    pass


def test_a_process_that_dies_costs_its_own_recording_alone(jobs):
    run_in_workers(jobs, 2, silent, load)
    statuses, records = ended(jobs)
    assert statuses == {"good": COMPLETE, "bad": FAILED, "deadly": FAILED}
    assert "process died" in records["deadly"]["error"]
    # What it gave before it died is kept, and the second try went on from there.
    lines = (jobs[2].folder / "log.jsonl").read_text().splitlines()
    stamps = [json.loads(line).get("scene", {}).get("stamp_ns") for line in lines]
    scenes = [stamp for stamp in stamps if stamp is not None]
    assert len(scenes) == len(set(scenes)) > 2


class LoadedError(Exception):
    """Raised in place of loading."""


def _load_ready(*model, **settings):
    settings.pop("progress", None)
    raise LoadedError(model, settings)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text(
        "perception:\n  ros__parameters:\n    {device: cuda:1, dtype: bfloat16, "
        "acceleration: graphs, clip_length: 6, model: other, min_score: 0.4, threads: 3}\n"
    )
    return path


@pytest.mark.ros
def test_the_model_is_loaded_as_the_node_loads_it(file, monkeypatch):
    from vega3d_ros.ros.perception_node import load_perceiver

    monkeypatch.setattr("vega3d_ros.perception.loading.load_ready", _load_ready)
    parameters = load_parameters(file)
    with pytest.raises(LoadedError) as ours:
        workers.load_model(parameters)
    with pytest.raises(LoadedError) as nodes:
        load_perceiver(parameters, print, print)
    assert ours.value.args == nodes.value.args
    assert ours.value.args[0] == ("other",)
    assert ours.value.args[1] == {
        "device": "cuda:1", "dtype": "bfloat16", "acceleration": "graphs", "frames": 6,
        "threads": 3,
    }  # fmt: skip


def test_options_win_over_the_nodes_file(file, drive_bag, tmp_path, monkeypatch, capsys):
    def load(parameters):
        raise LoadedError(parameters)

    monkeypatch.setattr("vega3d_ros.evaluation.bags_command.load_model", load)
    evaluate = ["evaluate", str(drive_bag.path), "--out", str(tmp_path), "--params", str(file)]
    with pytest.raises(LoadedError) as loaded:
        main([*evaluate, "--model", "nano", "--device", "cpu"])
    (parameters,) = loaded.value.args
    assert (parameters.model, parameters.device, parameters.min_score) == ("nano", "cpu", 0.4)
    assert (parameters.dtype, parameters.acceleration) == ("bfloat16", "graphs")
    # Without them the file's own hold: a device that is not here, and a model that is not.
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main([*evaluate, "--model", "nano"]) == 2
    assert "device 'cuda:1' is not here" in capsys.readouterr().err
    assert main([*evaluate, "--device", "cpu"]) == 2
    assert "model 'other' is no folder" in capsys.readouterr().err


def test_too_many_workers_are_refused_before_they_start(monkeypatch):
    nano = Parameters(device="cpu")
    monkeypatch.setattr(capacity, "available", lambda _: (4 << 30, 8 << 30))
    workers.check_memory(2, nano)
    with pytest.raises(workers.RunError, match=r"of memory on cpu, 4.0 GiB .* --workers 4"):
        workers.check_memory(9, nano)


def test_the_gpu_must_hold_every_workers_model(monkeypatch):
    free = {"cpu": 100 << 30, "cuda:0": 3 << 30}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device], 24 << 30))
    here = Parameters(device="cuda:0", dtype="float32")
    workers.check_memory(4, here)
    with pytest.raises(workers.RunError, match=r"on cuda:0, 3.0 GiB are free; use --workers"):
        workers.check_memory(8, here)


@pytest.mark.parametrize(
    ("device", "gpus", "wanted"), [("cpu", 2, 0), ("auto", 0, 0), ("auto", 2, 1), ("cuda", 1, 1)]
)
def test_a_task_of_ray_asks_for_the_gpu_it_needs(device, gpus, wanted):
    assert gpus_of_a_task(device, {"CPU": 8.0, "GPU": gpus}) == wanted


def test_a_cluster_without_a_gpu_is_named():
    with pytest.raises(workers.RunError, match="the cluster has no GPU"):
        gpus_of_a_task("cuda", {"CPU": 8.0})


def test_the_program_can_be_imported_by_its_processes():
    runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "vega3d"))  # it would exit


@pytest.mark.slow
def test_two_workers_of_a_local_ray(jobs, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vega3d-ros[ray]'")
    from vega3d_ros.evaluation.run import LOCAL, run_on_ray

    # Its processes import the stand-in for the model, and it is to write nothing at home.
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), *sys.path]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    told = []
    run_on_ray(jobs, LOCAL, 2, lambda name, *_: told.append(name), load)
    statuses, records = ended(jobs)
    assert statuses == {"good": COMPLETE, "bad": FAILED, "deadly": FAILED}
    assert "its task failed 3 times" in records["deadly"]["error"]
    assert sorted(told) == ["bad", "deadly", "good"]
