"""Pictures and tables of runs and data sets; :mod:`.difficulty` of the simulated data."""
from .browse import browse_dataset
from .compare import compare_runs
from .curves import draw_curves
from .runs import Run, read_run
from .verify import Verified, verify_dataset

__all__ = ['Run', 'Verified', 'browse_dataset', 'compare_runs', 'draw_curves', 'read_run',
           'verify_dataset']
