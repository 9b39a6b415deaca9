"""Streets with vehicles: the embedded default data, in the layouts of the real ones."""
from .render import Picture, render
from .scene import CLASSES, Scene, Vehicle, random_scene

__all__ = ['CLASSES', 'Picture', 'Scene', 'Vehicle', 'random_scene', 'render']
