"""Qwen2.5-VL read from a folder: all of it or an error, never a made-up weight."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from transformers import AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.models.mllms.qwen2_5_vl.greedy import GreedyRule, GreedyRuleError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

_LOGGER = logging.getLogger(__name__)

GENERATION_FILE = "generation_config.json"
"""How ``generate`` decodes; a folder may lack it."""

OURS = "generative_"
"""What VEGA-3D's own tensors in an official checkpoint begin with."""


class WeightsError(Vega3dError, ValueError):
    """A folder that does not hold a whole Qwen2.5-VL; the message says what is wrong."""


def load_language_model(
    folder: Path, dtype: torch.dtype = torch.float32
) -> Qwen2_5_VLForConditionalGeneration:
    """Read the vision tower and language model of a folder that transformers wrote.

    Only safetensors are read, and nothing is downloaded.

    Raises:
        WeightsError: If something is missing, damaged or does not fit its configuration.
    """
    try:
        config = Qwen2_5_VLConfig.from_pretrained(folder, local_files_only=True)
        _check_size(config, folder)
        with _without_report():
            model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except Exception as error:  # transformers raises anything of a damaged file
        msg = f"{folder} cannot be loaded as Qwen2.5-VL: {error}; copy the model folder again"
        raise WeightsError(msg) from error
    missing = sorted(str(key) for key in report["missing_keys"])
    if missing:
        msg = (
            f"{folder} lacks {len(missing)} tensors of Qwen2.5-VL, {missing[0]} first; "
            "copy the model folder again"
        )
        raise WeightsError(msg)
    unknown = [key for key in map(str, report["unexpected_keys"]) if not key.startswith(OURS)]
    for key in sorted(unknown):
        _LOGGER.warning("%s holds the unknown tensor %s, which is not used", folder, key)
    _check_generation(model, folder)
    return model


def _check_generation(model: Qwen2_5_VLForConditionalGeneration, folder: Path) -> None:
    """Refuse a generation config that is damaged, which transformers ignores, or not supported."""
    try:
        if (folder / GENERATION_FILE).is_file():
            read_object(folder / GENERATION_FILE)
        GreedyRule.of(model)
    except (GreedyRuleError, JsonError) as error:
        msg = f"{folder}: {error}"
        raise WeightsError(msg) from error


@contextmanager
def _without_report() -> Iterator[None]:
    """Keep transformers from listing what an official checkpoint holds beside Qwen2.5-VL.

    What matters of its report is checked, and said, by the caller.
    """
    logger = logging.getLogger("transformers.modeling_utils")

    def keep(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder.

    Raises:
        WeightsError: If it is missing or damaged.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # as above
        msg = f"{folder} has no tokenizer that can be read: {error}; copy the model folder again"
        raise WeightsError(msg) from error
    return tokenizer


def _check_size(config: Qwen2_5_VLConfig, folder: Path) -> None:
    """Refuse a configuration that asks for more weights than the files hold.

    transformers would make up what is missing, however large: a configuration without sizes means
    the 72 B model, and would take all memory before anything is said.
    """
    with torch.device("meta"):
        wanted = sum(p.numel() for p in Qwen2_5_VLForConditionalGeneration(config).parameters())
    held = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            held += sum(prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
    if held < wanted:
        msg = f"config.json asks for {wanted} weights, the files hold {held}"
        raise ValueError(msg)
