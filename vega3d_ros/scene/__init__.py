"""What is in a scene, over time, and how it lies."""
