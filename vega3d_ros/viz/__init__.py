"""Pictures of what was understood: boxes in frames, the gate, maps from above."""
