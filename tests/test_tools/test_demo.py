"""The demo's table and picture, and the steps that long tools are made of."""
import json
import runpy

import pytest
import tiny

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.steps import Steps, sign_of_life

demo = runpy.run_path(str(tiny.CONFIGS.parent / 'tools' / 'demo.py'))


def test_lines_of_a_log_become_signs_of_life():
    line = ('11/23 02:11:18 - mmengine - INFO - Epoch(train)  [9][40/46]  lr: 6.0e-02  '
            'eta: 0:04:14  time: 0.5  data_time: 0.0  loss: 5.9  densecl.loss_dense: 2.56  '
            'mocov2.loss_distill: 0.0135')
    assert sign_of_life(line) == ('train epoch 9 step 40/46, eta 0:04:14  densecl.loss_dense 2.56'
                                  '  mocov2.loss_distill 0.0135')
    line = '... - mmengine - INFO - stage 1 (mocov2) is finished'
    assert sign_of_life(line).startswith('stage 1')
    assert sign_of_life('features, cpu ━━━━━━ 100% 0:00:02\n') == 'features, cpu 100% 0:00:02'
    assert sign_of_life('11/23 02:55:41 - mmengine - INFO - Exp name: x_20261123') is None


def test_a_step_that_fails_shows_the_end_of_its_log(tmp_path):
    steps = Steps(tmp_path, total=1)
    with pytest.raises(MultiSSLError, match='(?s)step 1 failed.*x.log.*No such file'):
        steps.run('a step', 'x', 'no_such_script.py')
    done = tmp_path / 'done'
    done.touch()
    steps.run('another', 'y', 'no_such_script.py', done=done)  # is not run at all


def test_table_and_picture(tmp_path):
    row = {key: 10. for key in demo['COLUMNS'].values()}
    rows = {'random': row, 'MoCo v2 (stage 1)': row, 'IL M -> D': dict(row, svm=20.)}
    demo['show'](rows, tmp_path)
    demo['draw']({name: dict(seed0=row) for name, row in rows.items()}, tmp_path / 'trade_off.png')
    assert json.loads((tmp_path / 'table.json').read_text()) == rows
    assert (tmp_path / 'trade_off.png').stat().st_size > 10_000
