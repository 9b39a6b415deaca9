"""Sound encoders on scenes as another head hears them, with recorded vehicles: not in the paper.

Models for SP and S3R are trained on the simulator's engines and KEMAR's ears, as in Table 2a, then
tested where neither is (docs/evidence.md).
"""
from functools import partial
from typing import Optional, Sequence

from ..engine.hooks.checkpoint import FINAL
from ..utils.project import project_file
from .data import converted, second_head_folder
from .outcomes import collect
from .plan import Plan, Step
from .results import Column, PaperTable
from .row import Encoder
from .sound import ROWS, SINGLE, SoundRun
from .store import short_path

TESTED = 'sp', 's3r'
_THERE = '_second'  # of evaluations


def _columns(title: str, run: str, metric: str, digits: int = 1,
             without: Optional[str] = None, below: bool = False) -> Sequence[Column]:
    return [Column(f'{title}{where}', f'{run}{there}', metric, digits, without=without, below=below)
            for where, there in (('', ''), (', 2nd head', _THERE))]


_KEYS = [*SINGLE, 'b_long_b_c_a', 'mtl_long_b_c_a', 'il_b_c_a']
SECOND_HEAD = PaperTable(
    'second_head', 'Another head and recorded vehicles; %, S3R as a share of the variance',
    {key: ROWS[key] for key in _KEYS}, [
        *_columns('SP mAP', 'sp', 'mAP'), *_columns('SP mAP, frozen', 'sp_frozen', 'mAP'),
        *_columns('S3R error', 's3r', 'error', 4, 'copy_error', below=True),
        *_columns('S3R error, frozen', 's3r_frozen', 'error', 4, 'copy_error', below=True)],
    [[('SP mAP, frozen', 'SP mAP, frozen, 2nd head'),
      ('S3R error, frozen', 'S3R error, frozen, 2nd head')]],
    'What one sound encoder is worth, with the ears it knows and with others')


class SecondHeadRun(SoundRun):
    """Evaluates as Table 2a does, and tests the same models with another head."""

    def add_evaluations(self, plan: Plan, key: str, encoder: Encoder,
                        runs: Sequence[str] = TESTED) -> None:
        """Both evaluations of one row."""
        root = converted(second_head_folder(self.scale)).as_posix()
        scenes = 'test_dataloader.dataset.dataset.'
        for task, run, step in self.models(key, encoder, runs):
            plan.add(step)  # its model is tested, also where its own result is kept without it
            self.want(plan, key, run, encoder, step)
            there = f'{run}{_THERE}'
            what = self.store.named(f'{key}_{there}', self.seed, 'test', self.store.data(root),
                                    step.what.origin)
            self.want(plan, key, there, encoder, Step(
                f'{step.title}, another head', f'seed{self.seed}_{key}_{there}',
                (project_file('tools/test.py'), short_path(step.what.path / f'{task}.py'),
                 short_path(step.what.path / FINAL), '--work-dir', short_path(what.path),
                 '--cfg-options', f'{scenes}data_root={root}/',
                 f'{scenes}splits.test=[1,{self.scale.scenes[2]}]'),
                what.json, what, (step.done, ), partial(collect, what, f'{task}/')))
