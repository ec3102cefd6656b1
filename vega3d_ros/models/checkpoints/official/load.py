"""An official spatial-reasoning checkpoint to the modules that this package runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from vega3d_ros.core.settings import read_settings
from vega3d_ros.models.checkpoints.official.images import image_processor
from vega3d_ros.models.checkpoints.official.language import OfficialLanguage
from vega3d_ros.models.checkpoints.official.layout import (
    FUSION,
    MERGER,
    TOWER,
    Layout,
    OfficialError,
    card,
    read_json,
    read_layout,
)
from vega3d_ros.models.checkpoints.official.wan import (
    described,
    find_prompt,
    find_vae,
    load_prompt,
    load_vae,
    wan_folders,
)
from vega3d_ros.models.fusion.fusion_module import FusionConfig, FusionModule
from vega3d_ros.models.mllms.qwen2_5_vl.weights import (
    GENERATION_FILE,
    WeightsError,
    load_language_model,
    load_tokenizer,
)
from vega3d_ros.models.priors.wan.config import WanPriorConfig
from vega3d_ros.models.priors.wan.files import block_index, wanted_blocks
from vega3d_ros.models.priors.wan.official_layout import official_sizes, transformer_from_official
from vega3d_ros.models.priors.wan.prior import WanPrior

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn
    from transformers import PreTrainedTokenizerBase

_LOGGER = logging.getLogger(__name__)

_TOKENIZER_FILES = ("tokenizer.json", "vocab.json")


class Parts(NamedTuple):
    """What an official checkpoint gives."""

    prior: WanPrior
    language: OfficialLanguage
    fusion: FusionModule
    settings: dict[str, Any]


def load_official(
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    prior: Mapping[str, Any] | None = None,
    reference: bool = False,
) -> Parts:
    """Read an official checkpoint and the Wan files it needs.

    The tower's weights are always those in the checkpoint, never Wan 2.1's own: training may have
    changed them.

    Args:
        folder: With ``config.json`` and sharded or single safetensors.
        dtype: Of the weights in memory.
        prior: Settings of the prior instead of the checkpoint's.
        reference: Run the prior by the official protocol, to compare with.

    Raises:
        OfficialError: If something is missing, damaged, or of a kind that is not supported.
        PriorError: If the tower's weights and settings do not fit.
        SettingsError: If the settings that are given do not exist.
    """
    layout = read_layout(folder)
    refuse_unsupported(layout)
    settings = layout.prior_config().to_dict()
    text_length = int(described(wan_folders(layout)).get("text_len", settings["text_length"]))
    settings |= {"text_length": text_length, **(prior or {})}
    config = read_settings(WanPriorConfig, settings, "prior")
    tower = _load_prior(layout, config, dtype, reference=reference)
    language = _load_language(folder, dtype)
    dim = int(language.model.config.text_config.hidden_size)
    shape = fusion_config(layout, dim, tower.dim)
    fusion = FusionModule(shape)
    _fill(fusion.projector, layout, MERGER)
    _fill(fusion.gate, layout, FUSION)
    return Parts(tower, language, fusion.to(dtype), {"card": card(folder)})


def refuse_unsupported(layout: Layout) -> None:
    """Refuse towers of other families.

    Raises:
        OfficialError: Naming what was found.
    """
    keys = layout.below(TOWER)
    kind = layout.config.get("generative_encoder_tower_type", "wan_vace_online")
    if not keys:
        msg = f"{layout.folder} holds no tensors {TOWER}*; is it a whole checkpoint?"
        raise OfficialError(msg)
    if "patch_embedding.weight" not in keys or any(k.startswith("vace_") for k in keys):
        msg = f"{layout.folder} has a tower of type {kind!r}; only Wan 2.1 text-to-video is read"
        raise OfficialError(msg)


def prompt_file(layout: Layout) -> Path | None:
    """The file of the prompt embedding: the one that the configuration names, else one found."""
    named = layout.config.get("generative_vision_tower_prompt_emb_path")
    if named and (layout.folder / str(named)).is_file():
        return layout.folder / str(named)
    return find_prompt(wan_folders(layout))


def _load_prior(
    layout: Layout, config: WanPriorConfig, dtype: torch.dtype, *, reference: bool
) -> WanPrior:
    folders = wan_folders(layout)
    where = f"{layout.folder / 'wan'} (looked in {', '.join(map(str, folders))})"
    vae, prompt = find_vae(folders), prompt_file(layout)
    if vae is None:
        msg = f"the checkpoint does not hold the autoencoder; put Wan2.1_VAE.pth into {where}"
        raise OfficialError(msg)
    if prompt is None:
        msg = (
            f"the checkpoint does not hold the prompt embedding; put wan_prompt_embedding.pt into "
            f"{where}, or make one with `vega3d prompt`"
        )
        raise OfficialError(msg)
    shapes = layout.below(TOWER)
    sizes = official_sizes(shapes, described(folders))
    last = -1 if reference else config.block  # the official protocol runs what it throws away
    keep = block_index(last, sizes["num_layers"]) + 1
    state = layout.tensors(TOWER, wanted_blocks(keep))
    transformer = transformer_from_official(state, {**sizes, "num_layers": keep}, dtype)
    return WanPrior(
        load_vae(vae, dtype), transformer, load_prompt(prompt), config, reference=reference
    )


def _load_language(folder: Path, dtype: torch.dtype) -> OfficialLanguage:
    tokenizer: PreTrainedTokenizerBase | None = None
    try:
        model = load_language_model(folder, dtype)
        if any((folder / name).is_file() for name in _TOKENIZER_FILES):
            tokenizer = load_tokenizer(folder)
        else:
            _LOGGER.warning("%s has no tokenizer; nothing can be asked in words", folder)
        processor = image_processor(folder)
    except (WeightsError, OSError, ValueError) as error:
        raise OfficialError(str(error)) from error
    if tokenizer is not None:
        template = folder / "chat_template.json"
        if not tokenizer.chat_template and template.is_file():
            tokenizer.chat_template = _template(template)
        model.config.text_config.eos_token_id = tokenizer.eos_token_id
        if "eos_token_id" not in _generation(folder):
            model.generation_config.eos_token_id = tokenizer.eos_token_id
    return OfficialLanguage(model, tokenizer, processor)


def _generation(folder: Path) -> dict[str, Any]:
    file = folder / GENERATION_FILE
    return read_json(file) if file.is_file() else {}


def _template(file: Path) -> str:
    return str(read_json(file).get("chat_template", ""))


def fusion_config(layout: Layout, dim: int, prior_dim: int) -> FusionConfig:
    """Projector and gate as the configuration describes them.

    Source: ``Qwen2_5_VLForConditionalGenerationWithGenerative`` (spatial-reasoning branch).

    Raises:
        OfficialError: If configuration and tensors differ in the merger's width.
    """

    def said(name: str, default: Any) -> Any:
        value = layout.config.get(f"generative_{name}")
        return default if value is None else value

    held = layout.shapes.get(f"{MERGER}mlp.0.weight", (4096,))[0]
    width = int(said("merger_hidden_dim", held))
    if width != held:  # before memory for it is taken
        msg = f"{layout.folder}: {MERGER}mlp.0 has width {held}, config.json says {width}"
        raise OfficialError(msg)
    return FusionConfig(
        method=said("fusion_method", "token_gated_residual"),
        dim=dim,
        prior_dim=prior_dim,
        projector="merger",
        merger_hidden_dim=width,
        merger_type=said("merger_type", "mlp"),
        layers=int(said("fusion_num_layers", 1)),
        heads=int(said("fusion_attention_heads", 8)),
    )


def _fill(module: nn.Module, layout: Layout, prefix: str) -> None:
    try:
        module.load_state_dict(layout.tensors(prefix))
    except RuntimeError as error:
        msg = f"{layout.folder}: the tensors {prefix}* do not fit config.json: {error}"
        raise OfficialError(msg) from error
