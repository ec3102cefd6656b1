"""GroundingDINO and MM-GroundingDINO, which LLMDet is too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vega3d_ros.models.detectors.hub.family import AnyTextFamily
from vega3d_ros.models.detectors.hub.folder import corners, pixel_inputs
from vega3d_ros.models.detectors.hub.prompts import passes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class GroundingDino(AnyTextFamily):
    """Texts become one prompt, "red chair. sofa.", of 256 tokens at most; more need more passes.

    A query's score for a text is the mean over the text's own tokens, as the authors evaluate on
    sets of names. (The processor takes the largest token and decodes whichever tokens are high,
    which mixes texts: for "red chair" any chair scores as high as a red one.)
    """

    threshold = 0.25
    overlap = 1.0

    def look(
        self, image: NDArray[np.uint8], texts: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = image.shape[:2]
        pixels = pixel_inputs(self._processor, image, self._device)
        boxes, scores = [], []
        for group, ids, spans in self._prompts(texts):
            tokens = torch.tensor([ids], device=self._device)
            outputs = self.network(
                **pixels,
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                token_type_ids=torch.zeros_like(tokens),
            )
            likely = outputs.logits[0].sigmoid()
            found = torch.zeros(len(likely), len(texts), device=likely.device)
            for index, span in zip(group, spans, strict=True):
                found[:, index] = likely[:, span].mean(dim=1)
            boxes.append(corners(outputs.pred_boxes[0], width, height))
            scores.append(found)
        return torch.cat(boxes), torch.cat(scores)

    def _prompts(self, texts: Sequence[str]) -> list[tuple[range, list[int], list[slice]]]:
        """Of each pass: which texts, the prompt's tokens, where each text's tokens lie."""
        tokenizer = self._tokenizer
        limit = self.network.config.max_text_len - 2  # without [CLS] and [SEP]
        dot = tokenizer.convert_tokens_to_ids(".")
        words = [
            tokenizer(text, add_special_tokens=False)["input_ids"][: limit - 1] for text in texts
        ]
        prompts = []
        for group in passes([len(ids) + 1 for ids in words], limit):
            prompt, spans = [tokenizer.cls_token_id], []
            for index in group:
                spans.append(slice(len(prompt), len(prompt) + len(words[index])))
                prompt += [*words[index], dot]
            prompts.append((group, [*prompt, tokenizer.sep_token_id], spans))
        return prompts
