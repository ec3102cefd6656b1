"""Qwen2.5-VL as the language model of a scene."""
