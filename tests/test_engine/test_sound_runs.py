"""Sound tasks in whole runs, on tiny scenes in OmniAudio's layout."""
import shutil

import pytest
import runs
import sounds
import torch
from mmengine.runner import Runner
from runs import assert_same, last_checkpoint

from multissl_mm.evaluation.checkpoint_scores import score_checkpoints


# 2 scenes of 12 segments in groups of 4, batches of 8: 3 steps an epoch, 2 epochs a stage.
@pytest.mark.parametrize('source, kills', [
    ('stored', ['iter:4', 'record', 'save:3', 'iter:8', 'iter:16']),
    ('teacher', ['iter:8', 'iter:16']),
])
def test_b_c_a_killed_and_resumed_equals_never_killed(scenes, tmp_path, source, kills):
    def config(name):
        cfg = sounds.sound_config('il_b_c_a', scenes, tmp_path / name)
        if source == 'teacher':
            cfg.model.responses = dict(source='teacher')
        return cfg

    runs.train(config('whole'))
    for kill_at in kills:
        runs.train(config('broken'), kill_at)
    runs.train(config('broken'))
    whole, broken = last_checkpoint(tmp_path / 'whole'), last_checkpoint(tmp_path / 'broken')
    assert whole['meta']['epoch'] == 6 and int(whole['state_dict']['stage']) == 2
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(whole[key], broken[key], key)
    for name in ('stage1_b.pth', 'stage2_c.pth'):
        assert_same(*(torch.load(tmp_path / run / name, weights_only=False)['state_dict']
                      for run in ('whole', 'broken')), name)
    if source == 'stored':
        found = {p.name for p in (tmp_path / 'whole' / 'responses' / 'b').rglob('*.npy')}
        assert {n.split('_')[0] for n in found} == {'sound', 'video'}
        banks = {p.name for p in (tmp_path / 'whole' / 'responses').iterdir()}
        assert banks == {'b', 'c'}


def test_stored_responses_equal_a_teachers(scenes, tmp_path):
    """The same views, the same losses: a short run ends with the same weights."""
    ends = {}
    for source in ('stored', 'teacher'):
        cfg = sounds.sound_config('il_b_c_a', scenes, tmp_path / source)
        cfg.model.responses = dict(source=source, replicas=2)
        if source == 'stored':
            cfg.model.responses.update(dtype='float32', shard_size=10)
        runs.train(cfg)
        ends[source] = last_checkpoint(tmp_path / source)['state_dict']
    for key, value in ends['stored'].items():
        if key in ends['teacher'] and value.is_floating_point():
            torch.testing.assert_close(value, ends['teacher'][key], atol=1e-2, rtol=0)


@pytest.mark.parametrize('name', ['a', 'b', 'b_mask', 'c', 'mtl_b_c_a'])
def test_every_kind_of_config_trains(scenes, tmp_path, name):
    cfg = sounds.sound_config(name, scenes, tmp_path, train_cfg__max_epochs=1)
    cfg.experiment_name = f'{tmp_path.name}_{name}'
    runner = Runner.from_cfg(cfg)
    before = {k: v.clone() for k, v in runner.model.backbone.state_dict().items()}
    runner.train()
    after = runner.model.backbone.state_dict()
    assert any(not torch.equal(v, before[k]) for k, v in after.items())


def test_two_ranks_agree(scenes, tmp_path):
    cfg = sounds.sound_config('il_b_c_a', scenes, tmp_path / 'run')
    cfg.train_dataloader.batch_size = 4
    a, _ = runs.on_two_ranks(tmp_path / 'ranks', cfg)
    assert int(a['state']['stage']) == 2


def test_scores_stage_by_stage(scenes, tmp_path):
    """What was learned is scored, the rest is not."""
    cfg = sounds.sound_config('il_b_c_a', scenes, tmp_path)
    cfg.model.responses = dict(source='teacher')
    runs.train(cfg)
    scores = score_checkpoints(cfg, ['random', *(str(tmp_path / name) for name in (
        'stage1_b.pth', 'stage2_c.pth', 'epoch_6.pth'))], replicas=1)
    assert {k: list(v) for k, v in scores.items()} == dict(
        random=['b', 'c', 'a'], stage1_b=['b'], stage2_c=['b', 'c'], epoch_6=['b', 'c', 'a'])
    assert 0 <= scores['epoch_6']['a']['top1'] <= 1
    one = tmp_path / 'stage1_b.pth'
    other = shutil.copy(one, (tmp_path / 'other').mkdir() or tmp_path / 'other/stage1_b.pth')
    scores = score_checkpoints(cfg, [str(one), str(other)], replicas=1)
    assert list(scores) == [str(one), str(other)]
