"""Measurements of this project's speed, on the machine they run on."""
