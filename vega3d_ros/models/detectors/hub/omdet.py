"""OmDet-Turbo; its published weights need timm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vega3d_ros.models.detectors.hub.family import AnyTextFamily
from vega3d_ros.models.detectors.hub.folder import corners, pixel_inputs
from vega3d_ros.models.detectors.hub.prompts import passes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_LENGTH = 77  # tokens of a prompt, as its processor has it


class OmDet(AnyTextFamily):
    """Texts are classes of a task, "Detect chair, sofa.", of 77 tokens; more need more passes."""

    threshold = 0.3
    overlap = 0.5

    def look(
        self, image: NDArray[np.uint8], texts: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = image.shape[:2]
        pixels = pixel_inputs(self._processor, image, self._device)["pixel_values"]
        boxes, scores = [], []
        for group in self._passes(texts):
            names = [texts[index] for index in group]
            classes, tasks = self._tokens(names), self._tokens([f"Detect {', '.join(names)}."])
            outputs = self.network(
                pixel_values=pixels,
                classes_input_ids=classes["input_ids"],
                classes_attention_mask=classes["attention_mask"],
                tasks_input_ids=tasks["input_ids"],
                tasks_attention_mask=tasks["attention_mask"],
                classes_structure=torch.tensor([len(names)], device=self._device),
            )
            likely = outputs.decoder_class_logits[0, :, : len(names)].sigmoid()
            found = torch.zeros(len(likely), len(texts), device=likely.device)
            found[:, group.start : group.stop] = likely
            boxes.append(corners(outputs.decoder_coord_logits[0], width, height))
            scores.append(found)
        return torch.cat(boxes), torch.cat(scores)

    def _passes(self, texts: Sequence[str]) -> list[range]:
        def count(text: str) -> int:
            return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

        limit = _LENGTH - 2 - count("Detect .")  # without beginning and end
        return list(passes([count(f"{text},") for text in texts], limit))

    def _tokens(self, texts: list[str]) -> Any:
        return self._tokenizer(
            texts, padding="max_length", truncation=True, max_length=_LENGTH, return_tensors="pt"
        ).to(self._device)
