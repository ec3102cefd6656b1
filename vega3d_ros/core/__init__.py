"""Plain data and geometry that every other room builds on."""
