"""Visual tokens and text to language: Qwen2.5-VL, its prompts and the kept prefix."""
