"""From a command line to a config that fits the machine."""
import argparse
import json

import pytest
from mmengine.config import Config

from multissl_mm import runtime
from multissl_mm.errors import MultiSSLError

NONE = dict(config='configs/some.py', work_dir=None, cfg_options=None, launcher='none',
            local_rank=0)


@pytest.fixture(autouse=True)
def cpu(monkeypatch):
    monkeypatch.setattr(runtime, 'get_device', lambda: 'cpu')
    monkeypatch.setenv('LOCAL_RANK', '0')


def prepare(cfg=None, **args):
    base = dict(model=dict(type='X', norm_cfg=dict(type='SyncBN')),
                optim_wrapper=dict(type='OptimWrapper'))
    return runtime.prepare_cfg(Config({**base, **(cfg or {})}),
                               argparse.Namespace(**{**NONE, **args}))


def test_several_processes_on_the_cpu():
    cfg = prepare(dict(env_cfg=dict(dist_cfg=dict(backend='nccl'), cudnn_benchmark=True),
                       find_unused_parameters=True), launcher='pytorch')
    assert cfg.env_cfg.dist_cfg.backend == 'gloo' and cfg.env_cfg.cudnn_benchmark
    assert cfg.model_wrapper_cfg == dict(type='MMDistributedDataParallel', device_ids=None,
                                         broadcast_buffers=False, find_unused_parameters=True)
    assert cfg.model.norm_cfg.type == 'multissl_mm.BNXd'


def test_one_process_and_a_gpu_are_left_alone(monkeypatch):
    assert 'model_wrapper_cfg' not in prepare()
    monkeypatch.setattr(runtime, 'get_device', lambda: 'cuda')
    cfg = prepare(launcher='pytorch')
    assert 'model_wrapper_cfg' not in cfg and cfg.model.norm_cfg.type == 'SyncBN'


def test_amp(monkeypatch):
    assert prepare(amp=True).optim_wrapper.type == 'multissl_mm.AmpOptimWrapper'
    theirs = dict(cfg=dict(optim_wrapper=dict(type='AmpOptimWrapper')))
    with pytest.raises(MultiSSLError, match='needs a GPU'):
        prepare(**theirs)
    with pytest.raises(MultiSSLError, match='has no mixed precision'):
        prepare(dict(optim_wrapper=dict(type='X')), amp=True)
    monkeypatch.setattr(runtime, 'get_device', lambda: 'cuda')
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
    assert cfg.custom_hooks == [dict(type='multissl_mm.StrictLoadHook', check_init=True)]
    assert prepare(dict(work_dir='a'), work_dir='b').work_dir == 'b'
    mine = [dict(type='multissl_mm.StrictLoadHook', check_init=False)]
    assert prepare(dict(custom_hooks=mine)).custom_hooks == mine


def test_auto_scale_lr():
    assert prepare(dict(auto_scale_lr=dict(base_batch_size=8)), auto_scale_lr=True).auto_scale_lr
    with pytest.raises(MultiSSLError, match='base_batch_size'):
        prepare(auto_scale_lr=True)


def test_resume(tmp_path):
    start = tmp_path / 'start.pth'
    start.touch()
    # without a checkpoint yet, the run starts from load_from as it would have
    cfg = prepare(dict(load_from=str(start)), work_dir=str(tmp_path), resume='auto')
    assert cfg.load_from == str(start) and not cfg.get('resume')
    # a work dir that was moved since
    (tmp_path / 'epoch_1.pth').touch()
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_1.pth')
    cfg = prepare(dict(load_from=str(start)), work_dir=str(tmp_path), resume='auto')
    assert cfg.resume and cfg.load_from == str(tmp_path / 'epoch_1.pth')
    with pytest.raises(MultiSSLError, match='none.pth: no such checkpoint'):
        prepare(resume='none.pth')


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
