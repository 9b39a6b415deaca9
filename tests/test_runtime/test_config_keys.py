"""Configs are checked before anything is built."""
import argparse
import json
from contextlib import nullcontext

import pytest
import tiny
from mmengine.config import Config

from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import check_data, load_config
from multissl_mm.runtime.config_keys import check_generation, check_keys, check_options
from multissl_mm.runtime.options import ConfigOptions

CONFIGS = [str(path) for path in sorted(tiny.CONFIGS.rglob('*.py')) if '_base_' not in path.parts]
OTHERS = ['mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py',
          'mmpretrain::simclr/simclr_resnet50_16xb256-coslr-200e_in1k.py',
          'mmpretrain::byol/byol_resnet50_16xb256-coslr-200e_in1k.py',
          'mmpretrain::resnet/resnet50_8xb32_in1k.py',
          'mmpretrain::mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py',
          'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
          'mmdet::yolox/yolox_s_8xb8-300e_coco.py', 'mmdet::detr/detr_r50_8xb2-150e_coco.py']


@pytest.mark.parametrize('path', CONFIGS + OTHERS, ids=lambda path: path.rpartition('/')[2])
def test_no_false_alarms(path):
    cfg = load_config(path)
    check_generation(cfg)
    check_keys(cfg)


@pytest.mark.parametrize('config, key, right', [
    ('il_mocov2_densecl', 'trian_dataloader.batch_size', 'train_dataloader'),
    ('il_mocov2_densecl', 'train_dataloader.batchsize', 'batch_size'),
    ('il_mocov2_densecl', 'train_dataloader.dataset.maxskip', 'max_skip'),
    ('il_mocov2_densecl', 'train_dataloader.dataset.dataset.data_rot', 'data_root'),
    ('il_mocov2_densecl', 'train_dataloader.sampler.shufle', 'shuffle'),
    ('il_mocov2_densecl', 'model.taskz', 'tasks'),
    ('il_mocov2_densecl', 'model.tasks.0.queue_length', 'queue_len'),
    ('il_mocov2_densecl', 'optim_wrapper.acumulative_counts', 'accumulative_counts'),
    ('il_mocov2_densecl', 'train_cfg.stage', 'stages'),
    ('il_mocov2_densecl', 'default_hooks.logger.intervall', 'interval'),
    ('il_mocov2_densecl', 'env_cfg.cudnn_benchmrk', 'cudnn_benchmark'),
    ('il_mocov2_densecl', 'randomness.sed', 'seed'),
    ('mocov2', 'train_cfg.max_epoch', 'max_epochs'),
    ('sound/a', 'train_dataloader.dataset.dataset.pipeline.0.secs', 'seconds'),
])
def test_unknown_keys_are_refused_with_the_nearest(config, key, right):
    """Bug 38"""
    cfg = Config.fromfile(tiny.CONFIGS / f'{config}.py')
    cfg.merge_from_dict({key: 1 if '.batch_size' not in key else dict(a=1)})
    with pytest.raises(MultiSSLError, match=rf'{key.rpartition(".")[2]}|trian_dataloader') as error:
        check_keys(cfg)
    assert f'is it {right}?' in str(error.value) and '\n' not in str(error.value)


def test_options_name_entries_that_there_are():
    """Bug 38"""
    cfg = Config.fromfile(tiny.CONFIGS / 'mocov2.py')
    with pytest.raises(MultiSSLError, match=r'no trian_dataloader; is it train_dataloader.batch'):
        check_options(cfg, {'trian_dataloader.batch_size': 4})
    check_options(cfg, {'load_from': 'a.pth', 'model.channels_last': True, 'compile': True,
                        'train_cfg.max_epochs': 3, 'model.tasks.0.queue_len': 64,
                        'optim_wrapper.optimizer.lr': .1})


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    return parser.parse_args(['--cfg-options', *arguments]).cfg_options


@pytest.mark.parametrize('key', ['load_from', 'train_dataloader.dataset.dataset.data_root'])
def test_a_text_that_a_comma_has_split(key):
    """Bug 14"""
    cfg = Config.fromfile(tiny.CONFIGS / 'mocov2.py')
    with pytest.raises(MultiSSLError, match=f'{key}: .*commas.*{key}="\'a,b\'"'):
        check_options(cfg, parsed(f'{key}=a,b'))
    options = parsed(f"{key}='a,b'")
    check_options(cfg, options)
    assert options == {key: 'a,b'}


def test_values_of_options():
    """Bug 14: what MMEngine's option takes is as before."""
    assert parsed('a=1', 'b=[1,2]', "c='[x,y]'", 'd=(1,2)', 'e=x', "f='x y'") == dict(
        a=1, b=[1, 2], c=['x', 'y'], d=(1, 2), e='x', f='x y')


@pytest.mark.parametrize('option, words', [('a=b(1,c', 'quotes that the shell leaves'),
                                           ('a', 'is not KEY=VALUE')])
def test_options_that_cannot_be_read_are_named(option, words, capsys):
    """Bug 14"""
    with pytest.raises(SystemExit):
        parsed(option)
    assert f'--cfg-options {option}: ' in (error := capsys.readouterr().err) and words in error


def test_a_config_of_mmselfsup_0():
    """Bug 39"""
    cfg = Config(dict(
        model=dict(type='MOCO'), data=dict(samples_per_gpu=32, train=dict(type='SingleView')),
        optimizer=dict(type='SGD', lr=.03), runner=dict(type='EpochBasedRunner', max_epochs=200)))
    with pytest.raises(MultiSSLError, match='of MMSelfSup 0.x.*configs of 1.x run'):
        check_generation(cfg)


@pytest.mark.parametrize('classes, words', [
    (('bus', 'car'), r'classes are bus, car, but the categories of .*a.json are Bus, car: no bus'),
    (('car', ), None)])
def test_classes_are_those_of_the_annotation_file(tmp_path, classes, words):
    """Bug 21"""
    (tmp_path / 'a.json').write_text(json.dumps(dict(images=[], annotations=[], categories=[
        dict(id=1, name='Bus'), dict(id=2, name='car')])))
    cfg = Config(dict(train_dataloader=dict(dataset=dict(
        type='RepeatDataset', dataset=dict(
            type='CocoDataset', ann_file='a.json', data_root=str(tmp_path),
            metainfo=dict(classes=classes))))))
    with pytest.raises(MultiSSLError, match=words) if words else nullcontext():
        check_data(cfg, ['train'])


def test_a_damaged_annotation_file_is_named(tmp_path):
    (tmp_path / 'a.json').write_text('{"images": [')
    cfg = Config(dict(train_dataloader=dict(dataset=dict(
        type='CocoDataset', ann_file=str(tmp_path / 'a.json'), metainfo=dict(classes=['a'])))))
    with pytest.raises(MultiSSLError, match='ann_file: .*a.json is no annotation file of COCO'):
        check_data(cfg, ['train'])
