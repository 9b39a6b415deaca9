"""The paper's tables, demos and controls, as sequences of this project's commands."""
from .controls import run_sound_controls
from .demo import run_demo
from .demo_sound import run_sound_demo
from .report import write_report
from .steps import Steps
from .tables import TABLES, TARGETS, reproduce_table

__all__ = ['TABLES', 'TARGETS', 'Steps', 'reproduce_table', 'run_demo', 'run_sound_controls',
           'run_sound_demo', 'write_report']
