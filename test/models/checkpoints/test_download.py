"""`vega3d download`, against a hub that is none; `vega3d prompt`, with a small text encoder."""

from __future__ import annotations

import io
import socket
import urllib.error

import pytest
import torch
from support.closeness import assert_close_to_magnitude
from support.official_folder import golden_wan, write_checkpoint, write_tokenizer
from transformers import AutoTokenizer, UMT5Config, UMT5EncoderModel

from vega3d_ros.cli import main as cli
from vega3d_ros.models.checkpoints import download as area
from vega3d_ros.models.checkpoints.hub_download import git_blob
from vega3d_ros.models.checkpoints.load import load_modules, locate
from vega3d_ros.models.checkpoints.official.layout import OfficialError
from vega3d_ros.models.checkpoints.official.wan import load_prompt
from vega3d_ros.models.checkpoints.prompt import embed_prompt

pytestmark = pytest.mark.numeric

CONTENT = b"an embedding"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Records what is asked for; the prompt embedding's address answers with CONTENT."""
    asked = []

    def fetch(repository, folder, patterns):
        asked.append((repository, folder, patterns))
        folder.mkdir(parents=True, exist_ok=True)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(area, "download_files", fetch)
    monkeypatch.setattr(area, "urlopen", lambda *_, **__: io.BytesIO(CONTENT))
    monkeypatch.setattr(area, "PROMPT_BLOB", git_blob(CONTENT))
    return asked


def test_the_released_model_brings_all_that_it_needs(hub, tmp_path, capsys):
    assert cli.main(["download", "vega3d-sr-7b", "--yes"]) == 0
    folder = tmp_path / "cache" / "vega3d_ros" / "vega3d-sr-7b"
    assert [(repository, where) for repository, where, _ in hub] == [
        ("H-EmbodVis/VEGA-3D-Spatial-Reasoning", folder.with_name("vega3d-sr-7b.part")),
        ("Wan-AI/Wan2.1-T2V-1.3B", folder.with_name("vega3d-sr-7b.part") / "wan"),
    ]
    assert "Wan2.1_VAE.pth" in hub[1][2]
    # No pickle but the autoencoder, and never the whole repository.
    for _, _, patterns in hub:
        assert not {"*", "*.bin", "*.pt", "*.pth", "*.py"} & set(patterns)
    assert (folder / "wan" / "wan_prompt_embedding.pt").read_bytes() == CONTENT
    said = capsys.readouterr().out
    assert "licence Apache-2.0" in said
    assert "vega3d inspect" in "".join(said.split("\n"))
    assert not folder.with_name("vega3d-sr-7b.part").exists()
    assert cli.main(["download", "vega3d-sr-7b"]) == 2
    assert "--yes" in capsys.readouterr().err


def test_a_downloaded_model_is_found_by_its_name(hub, tmp_path):
    made = write_checkpoint(tmp_path / "made")
    kept = tmp_path / "cache" / "vega3d_ros"
    kept.mkdir(parents=True)
    made.rename(kept / "vega3d-sr-7b")
    golden_wan(kept / "vega3d-sr-7b" / "wan")
    assert locate("vega3d-sr-7b") == kept / "vega3d-sr-7b"
    assert load_modules("vega3d-sr-7b", prior={"width": 32, "height": 32}).grounding is None
    assert cli.main(["inspect", "vega3d-sr-7b"]) == 0


def test_files_are_named_as_git_names_them():
    # `printf 'an embedding' | git hash-object --stdin`
    assert git_blob(CONTENT) == "359f0f5089d63e587145e550b4b98893f05c7dfb"


def test_another_file_than_the_known_one_is_refused(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(area, "PROMPT_BLOB", "0" * 40)
    with pytest.raises(OfficialError, match="not the file that is known"):
        area.download("vega3d-sr-7b", tmp_path / "m")
    assert not (tmp_path / "m" / "wan" / "wan_prompt_embedding.pt").exists()


def test_without_network_it_says_so(hub, tmp_path, monkeypatch, capsys):
    def unreachable(*_, **__):
        raise urllib.error.URLError(socket.gaierror("no such host"))

    monkeypatch.setattr(area, "urlopen", unreachable)
    assert cli.main(["download", "vega3d-sr-7b", "--yes", "--to", str(tmp_path / "m")]) == 2
    assert "vega3d prompt" in capsys.readouterr().err
    monkeypatch.undo()
    assert cli.main(["download", "vega3d-sr-7b", "--yes", "--to", str(tmp_path / "n")]) == 2
    assert "cannot be downloaded" in capsys.readouterr().err


def test_only_known_names(capsys):
    assert cli.main(["download", "gpt2"]) == 2
    assert "vega3d-sr-7b" in capsys.readouterr().err


@pytest.fixture
def encoder(tmp_path):
    """A UMT5 of two layers in Diffusers' layout."""
    folder = tmp_path / "wan"
    torch.manual_seed(0)
    config = UMT5Config(
        vocab_size=300, d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=3, pad_token_id=0
    )
    UMT5EncoderModel(config).save_pretrained(folder / "text_encoder")
    (folder / "tokenizer").mkdir()
    write_tokenizer(folder / "tokenizer", ends=True)
    return folder


def test_a_prompt_is_embedded_once_and_kept(encoder, tmp_path):
    out = tmp_path / "out"
    text = "A  slow walk\nthrough a room"
    assert cli.main(["prompt", str(encoder), str(out), "--text", text]) == 0
    kept = load_prompt(out / "prompt.safetensors")
    model = UMT5EncoderModel.from_pretrained(encoder / "text_encoder").eval()
    tokenizer = AutoTokenizer.from_pretrained(encoder / "tokenizer")
    ids = tokenizer("A slow walk through a room", return_tensors="pt").input_ids
    with torch.no_grad():
        wanted = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
    assert_close_to_magnitude(kept, wanted, "network")
    assert (embed_prompt(encoder, "another") - kept[:8]).abs().max() > 1e-3
    assert embed_prompt(encoder).shape == (1, 24)  # the end of the empty prompt
    long = embed_prompt(encoder, "x" * 2000)
    assert long.shape == (512, 24)


def test_a_text_encoder_that_is_not_there_is_refused(encoder):
    with pytest.raises(OfficialError, match="text_encoder/ and tokenizer/"):
        embed_prompt(encoder / "nowhere")
