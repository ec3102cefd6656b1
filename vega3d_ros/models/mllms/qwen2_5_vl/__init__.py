"""Qwen2.5-VL as the language model of a scene."""

from vega3d_ros.models.mllms.qwen2_5_vl.language import Prefix, PromptFormat, SceneLanguage
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import ObjectTokens

__all__ = ["ObjectTokens", "Prefix", "PromptFormat", "SceneLanguage"]
