"""Whole runs on views that workers begin and the model's device finishes."""
import runs
import tiny
from runs import assert_same, last_checkpoint


def config(images, work_dir, workers=0):
    """IL with stored responses."""
    return tiny.tiny_config('il_mocov2_densecl', images, work_dir,
                            train_dataloader__num_workers=workers,
                            train_dataloader__persistent_workers=workers > 0)


def test_killed_and_resumed_with_other_workers_equals_never_killed(images, tmp_path):
    """To the last bit, with the responses of stage 1 recorded by the one and kept by the other."""
    runs.train(config(images, tmp_path / 'whole'))
    for kill_at, workers in (('record', 1), ('iter:11', 2), (None, 0)):
        runs.train(config(images, tmp_path / 'broken', workers), kill_at)
    whole, broken = (last_checkpoint(tmp_path / name) for name in ('whole', 'broken'))
    assert whole['meta']['epoch'] == broken['meta']['epoch'] == 4
    assert int(whole['state_dict']['stage']) == 1
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(whole[key], broken[key], key)
