"""From options to a config that fits the machine."""
import argparse
import json
import os
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop

from multissl_mm import runtime
from multissl_mm.engine import ILStageHook, StagedTrainLoop, StrictLoadHook
from multissl_mm.engine.hooks import InterruptionHook
from multissl_mm.errors import MultiSSLError
from multissl_mm.models import IncrementalLearning
from multissl_mm.runtime import prepare as prepare_module
from multissl_mm.runtime import processes
from multissl_mm.runtime.prepare import EPOCHS


def set_device(monkeypatch, device):
    for module in (processes, prepare_module):
        monkeypatch.setattr(module, 'get_device', lambda: device)


@pytest.fixture(autouse=True)
def cpu(monkeypatch):
    set_device(monkeypatch, 'cpu')
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(name, '0')


def prepare(cfg=None, **options):
    base = dict(model=dict(type='X', norm_cfg=dict(type='SyncBN')),
                optim_wrapper=dict(type='OptimWrapper'))
    return runtime.prepare_cfg(Config({**base, **(cfg or {})}),
                               runtime.RunOptions('configs/some.py', **options))


def test_several_processes_on_the_cpu():
    cfg = prepare(dict(env_cfg=dict(dist_cfg=dict(backend='nccl'), cudnn_benchmark=True),
                       find_unused_parameters=True), launcher='pytorch')
    assert cfg.env_cfg.dist_cfg.backend == 'gloo' and cfg.env_cfg.cudnn_benchmark
    assert cfg.model_wrapper_cfg == dict(type='MMDistributedDataParallel', device_ids=None,
                                         broadcast_buffers=False, find_unused_parameters=True)
    assert cfg.model.norm_cfg.type == 'multissl_mm.BNXd'


def test_one_process_and_a_gpu_are_left_alone(monkeypatch):
    assert 'model_wrapper_cfg' not in prepare()
    set_device(monkeypatch, 'cuda')
    cfg = prepare(launcher='pytorch')
    assert 'model_wrapper_cfg' not in cfg and cfg.model.norm_cfg.type == 'SyncBN'


def test_amp(monkeypatch):
    assert prepare(amp=True).optim_wrapper.type == 'multissl_mm.AmpOptimWrapper'
    theirs = dict(cfg=dict(optim_wrapper=dict(type='AmpOptimWrapper')))
    with pytest.raises(MultiSSLError, match='needs a GPU'):
        prepare(**theirs)
    with pytest.raises(MultiSSLError, match='has no mixed precision'):
        prepare(dict(optim_wrapper=dict(type='X')), amp=True)
    set_device(monkeypatch, 'cuda')
    assert prepare(**theirs).optim_wrapper.type == 'AmpOptimWrapper'


def test_a_staged_model_needs_its_hook():
    cfg = dict(model=dict(type='multissl_mm.IncrementalLearning', tasks=[dict(), dict()]))
    with pytest.raises(MultiSSLError, match='multissl_mm.ILStageHook'):
        prepare(cfg)
    hook = dict(type='multissl_mm.ILStageHook')
    assert prepare(dict(cfg, default_hooks=dict(stage=hook))).model == cfg['model']


def test_work_dir_options_and_hook():
    cfg = prepare(cfg_options={'optim_wrapper.optimizer.lr': 0.1}, no_validate=True)
    assert cfg.work_dir == 'work_dirs/some' and cfg.optim_wrapper.optimizer.lr == 0.1
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None
    stop, strict = dict(type='multissl_mm.InterruptionHook'), 'multissl_mm.StrictLoadHook'
    assert cfg.custom_hooks == [stop, dict(type=strict, check_init=True)]
    assert prepare(dict(work_dir='a'), work_dir='b').work_dir == 'b'
    own = [dict(stop, seconds=1.), dict(type=strict, check_init=False)]
    assert prepare(dict(custom_hooks=own)).custom_hooks == own


@pytest.mark.parametrize('kind, expected', [
    ('EpochBasedTrainLoop', EPOCHS), ('mmengine.EpochBasedTrainLoop', EPOCHS),
    (EpochBasedTrainLoop, EPOCHS), ('other.EpochBasedTrainLoop', 'other.EpochBasedTrainLoop'),
    (StagedTrainLoop, StagedTrainLoop)])
def test_mmengines_loop_is_known_however_it_is_spelled(kind, expected):
    assert prepare(dict(train_cfg=dict(type=kind))).train_cfg.type == expected


def test_types_may_be_classes():
    """A hook is not added again, and a staged model is known."""
    own = [dict(type=InterruptionHook, seconds=1.), dict(type=StrictLoadHook, check_init=False)]
    assert [hook.type for hook in prepare(dict(custom_hooks=own)).custom_hooks] == [
        InterruptionHook, StrictLoadHook]
    model = dict(type=IncrementalLearning, tasks=[dict(), dict()])
    with pytest.raises(MultiSSLError, match='IncrementalLearning would learn its first task'):
        prepare(dict(model=model))
    assert prepare(dict(model=model, default_hooks=dict(stage=dict(type=ILStageHook))))


def test_auto_scale_lr():
    assert prepare(dict(auto_scale_lr=dict(base_batch_size=8)), auto_scale_lr=True).auto_scale_lr
    with pytest.raises(MultiSSLError, match='base_batch_size'):
        prepare(auto_scale_lr=True)


def choose(cfg, resume=None):
    cfg = Config(cfg)
    runtime.choose_checkpoint(cfg, resume)
    return cfg


def test_resume(tmp_path):
    start = tmp_path / 'start.pth'
    torch.save(dict(state_dict={}), start)
    run = dict(load_from=str(start), work_dir=str(tmp_path))
    # without a checkpoint yet, the run starts from load_from as it would have
    for cfg in (choose(run), choose(run, 'auto'), choose(dict(run, load_from=None), str(start))):
        assert cfg.load_from == str(start)
    assert cfg.resume and not choose(run, 'auto').resume
    # a work dir that was moved since; by option, or by the config itself
    torch.save(dict(state_dict={}), tmp_path / 'epoch_1.pth')
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_1.pth')
    for cfg in (choose(run, 'auto'), choose(dict(run, load_from=None, resume=True))):
        assert cfg.resume and cfg.load_from == str(tmp_path / 'epoch_1.pth')
    with pytest.raises(MultiSSLError, match='none.pth: no such checkpoint'):
        choose(run, 'none.pth')


def test_options_of_a_command_line(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['x', 'c.py', '--work-dir', 'w', '--cfg-options', 'a.b=[1,2]'])
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    assert runtime.parse_options(parser) == runtime.RunOptions('c.py', work_dir='w',
                                                               cfg_options={'a.b': [1, 2]})


def test_every_job_has_a_port_of_its_own(monkeypatch):
    """E8: all Slurm jobs of a machine met at port 29500."""
    def port(job, step='0'):
        for name, value in dict(SLURM_PROCID='3', SLURM_NTASKS='4', SLURM_LOCALID='1',
                                SLURM_JOB_ID=job, SLURM_STEP_ID=step).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv('MASTER_PORT', raising=False)
        processes.set_environment('slurm')
        assert [os.environ[k] for k in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')] == ['3', '4', '1']
        return int(os.environ['MASTER_PORT'])

    ports = [port('1234'), port('1235'), port('1234', '1')]
    assert len(set(ports)) == 3 and port('1234') == ports[0]
    assert all(10000 <= p < 30000 for p in ports)
    monkeypatch.setenv('MASTER_PORT', '4321')  # what the user says stays
    processes.set_environment('slurm')
    assert os.environ['MASTER_PORT'] == '4321'


def test_missing_data_names_key_and_path(tmp_path):
    (tmp_path / 'train.json').touch()
    dataset = dict(type='D', data_root=str(tmp_path), ann_file='train.json')
    good = dict(train_dataloader=dict(dataset=dict(type='Repeat', dataset=dataset)))
    prepare(good)
    bad = Config(good)
    bad.train_dataloader.dataset.dataset.ann_file = 'val.json'
    with pytest.raises(MultiSSLError, match='train_dataloader.dataset.dataset.ann_file: .*val.js'):
        prepare(bad)
    for wrapped in ('dataset', 'datasets'):
        inner = dict(type='D', data_root='data/none')
        inner = [inner] if wrapped == 'datasets' else inner
        with pytest.raises(MultiSSLError, match=r'val_dataloader.*\.data_root: data/none does'):
            prepare(dict(val_dataloader=dict(dataset={'type': 'W', wrapped: inner})))
    prepare(dict(train_dataloader=dict(dataset=dict(data_root='s3://bucket/x'))))


@pytest.mark.parametrize('entry, value', [
    ('train_cfg.max_epochs', 0), ('train_cfg.max_epochs', -1), ('train_cfg.max_epochs', 1.5),
    ('train_dataloader.batch_size', 0), ('train_dataloader.batch_size', 2.5),
    ('val_dataloader.num_workers', -1), ('randomness.seed', -1), ('model.tasks.0.queue_len', 0),
    ('model.momentum', 2), ('model.tasks.0.base_momentum', -.1)])
def test_numbers_out_of_bounds(entry, value):
    right = dict(train_cfg=dict(max_epochs=2.), model=dict(
        type='X', momentum=(.9, 1.), tasks=[dict(queue_len=1)]),
        train_dataloader=dict(dataset=dict()), val_dataloader=dict(dataset=dict()))
    prepare(right)
    cfg = Config(right)
    cfg.merge_from_dict({entry: value})
    with pytest.raises(MultiSSLError, match=f'{entry} is {value}, but must be '):
        prepare(cfg)


def test_configs_of_other_packages():
    pytest.importorskip('mmdet')
    cfg = runtime.load_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
    assert cfg.model.type == 'MaskRCNN'
    for name in ('mmdet::mask_rcnn/none.py', 'nothing::a/b.py', 'none.py', 'mmdet::none'):
        with pytest.raises(MultiSSLError):
            runtime.load_config(name)


def test_run_info_is_json():
    json.dumps([runtime.versions(), runtime.git_state()])
    assert {'python', 'torch', 'mmengine', 'multissl_mm'} <= set(runtime.versions())


def test_a_group_on_gpus_is_the_one_that_a_runner_would_start(monkeypatch):
    """It exists before the runner, so that rank 0 can say what is resumed (R2)."""
    set_device(monkeypatch, 'cuda')
    calls = []
    monkeypatch.setattr(processes, 'set_multi_processing', lambda **kw: calls.append(kw))
    monkeypatch.setattr(processes, 'init_dist', lambda *args, **kw: calls.append((*args, kw)))
    processes.start_group(Config(dict(launcher='none')))
    assert not calls
    env_cfg = dict(mp_cfg=dict(mp_start_method='fork'), dist_cfg=dict(backend='nccl', timeout=9))
    processes.start_group(Config(dict(launcher='slurm', env_cfg=env_cfg)))
    assert calls == [dict(mp_start_method='fork', distributed=True),
                     ('slurm', dict(backend='nccl', timeout=9))]


def test_any_package_can_be_tested():
    """F1: mmpretrain's `test_cfg = dict()` was taken for none."""
    pytest.importorskip('mmpretrain')
    with pytest.raises(MultiSSLError, match='no test_dataloader'):
        runtime.test(runtime.RunOptions('mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py',
                                        checkpoint='x.pth'))
    with pytest.raises(MultiSSLError, match='test_dataloader.dataset.data_root'):
        runtime.test(runtime.RunOptions('mmpretrain::resnet/resnet18_8xb32_in1k.py',
                                        checkpoint='x.pth'))
