"""Models on the Hugging Face hub, against a hub that is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub.errors import LocalEntryNotFoundError
from support.tiny_models import make_clip, shared_modules

from vega3d_ros.cli import main as cli
from vega3d_ros.models.checkpoints import hub
from vega3d_ros.models.checkpoints.hub import is_hub_id
from vega3d_ros.models.checkpoints.load import locate
from vega3d_ros.models.checkpoints.model_paths import shipped
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.save import save_modules
from vega3d_ros.perception.perceiver import Perceiver


class Hub:
    """Repositories and a cache as folders; keeps what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cached, self.asked = folder, set(), []

    def snapshot(self, name, *, revision, allow_patterns, local_files_only, local_dir):
        self.asked.append((name, revision, local_files_only))
        assert not {"*", "*.bin", "*.pt", "*.pth", "*.py"} & set(allow_patterns)
        if local_files_only and name not in self.cached:
            raise LocalEntryNotFoundError("not cached")
        if not (self.folder / name).is_dir():
            raise LocalEntryNotFoundError("no such repository")
        self.cached.add(name)
        return str(self.folder / name)

    def create_repo(self, name, *, private, exist_ok):
        self.private = private

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        shutil.copytree(folder_path, self.folder / repo_id)
        return f"https://hub/{repo_id}/commit/1"


@pytest.fixture
def fake(monkeypatch, tmp_path):
    made = Hub(tmp_path / "hub")
    monkeypatch.setattr(hub, "snapshot_download", made.snapshot)
    monkeypatch.setattr(hub, "HfApi", lambda: made)
    return made


def test_a_model_is_uploaded_and_loaded_by_its_id(fake):
    perceiver = Perceiver(shared_modules())
    address = perceiver.push_to_hub("lab/robot", private=True)
    assert address == "https://hub/lab/robot/commit/1"
    assert fake.private
    card = (fake.folder / "lab" / "robot" / "README.md").read_text()
    assert 'from_pretrained("lab/robot")' in card
    again = Perceiver.from_pretrained("lab/robot", revision="v1", download=True)
    assert fake.asked == [("lab/robot", "v1", False)]
    assert again.queries == perceiver.queries
    assert again.observe(make_clip(1)).gate is not None
    assert locate("lab/robot") == fake.folder / "lab" / "robot"  # from the cache from now on
    assert fake.asked[-1] == ("lab/robot", None, True)


def test_nothing_is_downloaded_unless_asked(fake):
    (fake.folder / "lab" / "robot").mkdir(parents=True)
    with pytest.raises(CheckpointError) as error:
        Perceiver.from_pretrained("lab/robot", revision="v1")
    assert str(error.value) == (
        "model lab/robot at v1 is not on this machine; run `vega3d download lab/robot "
        "--revision v1`, or give download=True"
    )
    assert [only_local for _, _, only_local in fake.asked] == [True]


def test_vega3d_download_takes_an_id(fake, capsys):
    (fake.folder / "lab" / "robot").mkdir(parents=True)
    assert cli.main(["download", "lab/robot", "--revision", "v1"]) == 0
    assert fake.asked == [("lab/robot", "v1", False)]
    assert cli.main(["download", "lab/other"]) == 2
    assert "lab/other cannot be downloaded" in capsys.readouterr().err


def test_a_hub_that_refuses_says_how_to_log_in(fake, monkeypatch):
    def refuse(*_, **__):
        raise OSError("401")

    monkeypatch.setattr(fake, "create_repo", refuse)
    with pytest.raises(CheckpointError, match="lab/robot cannot be uploaded: 401; log in with"):
        Perceiver(shared_modules()).push_to_hub("lab/robot")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("lab/robot", True), ("lab/robot-v1.2", True), ("nano", False), ("/lab/robot", False),
     ("a/b/c", False), ("../robot", False), (Path("lab/robot"), False), ("lab/", False)],
)  # fmt: skip
def test_ids_are_told_from_paths(name, expected):
    assert is_hub_id(name) == expected


def test_a_folder_that_exists_wins_over_the_hub(fake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab" / "robot").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="is no model"):
        locate("lab/robot")
    assert not fake.asked


def test_every_model_has_a_card_with_front_matter(tmp_path):
    save_modules(shared_modules(), tmp_path / "robot")
    for folder in (tmp_path / "robot", shipped() / "nano"):
        _, front, text = (folder / "README.md").read_text().split("---\n", 2)
        values = yaml.safe_load(front)
        assert values["license"] == "apache-2.0"
        assert values["library_name"] == "vega3d_ros"
        assert f"# {folder.name}\n" in text
        assert "| Prior | wan, 128x96 |" in text
