"""Pictures and tables of runs; :mod:`.difficulty` of the simulated data."""
from .compare import compare_runs
from .curves import draw_curves
from .runs import Run, read_run

__all__ = ['Run', 'compare_runs', 'draw_curves', 'read_run']
