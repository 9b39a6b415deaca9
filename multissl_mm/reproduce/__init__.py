"""The paper's tables, demos and controls, as sequences of this project's commands."""
from .controls import run_sound_controls
from .demo import run_demo
from .demo_sound import run_sound_demo
from .steps import Steps
from .tables import TABLES, reproduce_table

__all__ = ['TABLES', 'Steps', 'reproduce_table', 'run_demo', 'run_sound_controls',
           'run_sound_demo']
