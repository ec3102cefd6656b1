"""Frames and questions put to the released model as its evaluation puts them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from vega3d_ros.models.checkpoints.official.images import load_frames
from vega3d_ros.models.checkpoints.official.layout import OfficialError
from vega3d_ros.models.checkpoints.official.wording import official_question
from vega3d_ros.models.mllms.qwen2_5_vl.language import PromptFormat, SceneLanguage

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import (
        PreTrainedTokenizerBase,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2VLImageProcessorPil,
    )

FRAME_SIZE = (532, 420)
"""Width and height at which the vision tower is shown a frame of 4:3."""

_SYSTEM = "You are a helpful assistant."
# Where the frames and the question go, in a rendering of the chat template.
_FRAME = "<|vision_start|><|image_pad|><|vision_end|>"
_QUESTION = "QUESTION"
_CHAT = PromptFormat(
    before=f"<|im_start|>system\n{_SYSTEM}<|im_end|>\n<|im_start|>user\n",
    question="{text}<|im_end|>\n<|im_start|>assistant\n",
    ground="",
)


def chat_format(tokenizer: PreTrainedTokenizerBase | None) -> PromptFormat:
    """The words around frames and question, from the checkpoint's chat template where it has one.

    Raises:
        OfficialError: If the template cannot be used, or is not one for frames and a question.
    """
    if tokenizer is None:
        return replace(_CHAT, before="")
    if not tokenizer.chat_template:
        return _CHAT
    user = [{"type": "image"}, {"type": "text", "text": _QUESTION}]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": user},
    ]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        msg = f"the chat template of the checkpoint cannot be used: {error}; copy it again"
        raise OfficialError(msg) from error
    before, frame, rest = str(text).partition(_FRAME)
    if not frame or not rest.startswith(_QUESTION):
        msg = f"the chat template of the checkpoint is not Qwen2.5-VL's; it gives {text!r}"
        raise OfficialError(msg)
    after = rest.removeprefix(_QUESTION)
    return PromptFormat(before, "{text}" + after, ground="")


class OfficialLanguage(SceneLanguage):
    """Qwen2.5-VL as the spatial-reasoning evaluation uses it.

    Unlike a model of this package, it has no fixed size: a frame keeps its proportions, and its
    grid follows from them.

    Args:
        model: The language model with its vision tower.
        tokenizer: Its tokenizer, or None where the folder has none: then scenes are observed, and
            sequences of token ids given logits, but nothing can be asked in words.
        processor: Resizes and normalises frames.
    """

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase | None,
        processor: Qwen2VLImageProcessorPil,
    ) -> None:
        self.processor = processor
        self._has_words = tokenizer is not None
        # Until `on_grid` says how frames lie, they are taken to be 4:3.
        super().__init__(model, tokenizer, chat_format(tokenizer), FRAME_SIZE)

    def prepare(self, images: Tensor) -> Tensor:
        """Frames as they are loaded; tower and vision tower see the result."""
        return load_frames(images)

    def semantic_tokens(self, images: Tensor) -> Tensor:
        """Visual tokens [N, rows, columns, D] of loaded frames [N, 3, H, W] in [0, 1]."""
        given = self.processor(list(images.cpu()), return_tensors="pt", do_rescale=False)
        device = self.model.device
        return self.encode_patches(
            given["pixel_values"].to(device), given["image_grid_thw"].to(device)
        )

    def on_grid(self, rows: int, columns: int) -> OfficialLanguage:
        """The same model for frames of another grid."""
        vision = self.model.config.vision_config
        cell = int(vision.patch_size) * vision.spatial_merge_size
        other = copy.copy(self)
        other.image_size = (columns * cell, rows * cell)
        return other

    def encode(self, text: str) -> list[int]:
        """Token ids of a text.

        Raises:
            OfficialError: If the checkpoint has no tokenizer.
        """
        if self._has_words:
            return super().encode(text)
        if text:
            msg = (
                "this checkpoint has no tokenizer, so nothing can be asked in words; copy "
                "tokenizer.json or vocab.json, merges.txt and tokenizer_config.json beside it"
            )
            raise OfficialError(msg)
        return []

    def question_prompt(self, question: str) -> str:
        """A question with everything around it."""
        return self.prompt.question.format(text=official_question(question))
