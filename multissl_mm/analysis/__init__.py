"""Pictures and tables of runs and of data."""
from .compare import compare_runs
from .curves import draw_curves
from .difficulty import Difficulty, measure_difficulty
from .runs import Run, read_run

__all__ = ['Difficulty', 'Run', 'compare_runs', 'draw_curves', 'measure_difficulty', 'read_run']
