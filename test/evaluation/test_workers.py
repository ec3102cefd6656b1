"""Recordings on several processes, here and on Ray: none takes another down."""

from __future__ import annotations

import json
import os
import runpy
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from drives import write_drive
from fake_perceiver import load

from vega3d_ros.evaluation.job import COMPLETE, FAILED, Job, read_record
from vega3d_ros.evaluation.workers import run_in_workers
from vega3d_ros.node.settings import Parameters

PARAMETERS = asdict(Parameters(keyframe_translation_m=0.079))


@pytest.fixture
def jobs(drive_bag, tmp_path):
    """A good bag, one that cannot be read, and one that kills whoever runs it."""
    write_drive(tmp_path / "deadly", frames=20, size=(100, 75))
    (tmp_path / "bad.mcap").write_bytes(b"no bag" * 9)
    bags = {"good": drive_bag.path, "bad": tmp_path / "bad.mcap", "deadly": tmp_path / "deadly"}
    return [
        Job(bag, name, tmp_path / "out" / name, "deadly", "0", "cpu", PARAMETERS)
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


def test_the_program_can_be_imported_by_its_processes():
    runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "vega3d"))  # it would exit


@pytest.mark.slow
def test_two_workers_of_a_local_ray(jobs, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vega3d-ros[ray]'")
    from vega3d_ros.evaluation.ray_workers import LOCAL, run_on_ray

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
