"""Configs are checked before anything is built."""
import argparse
import json
from contextlib import nullcontext

import pytest
import tiny
from mmengine.config import Config

from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import RunOptions, check_data, load_config, train
from multissl_mm.runtime.cfg_options import add_cfg_options, apply_options, check_options
from multissl_mm.runtime.config_keys import check_keys, check_optimizer

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
    check_keys(load_config(path))


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
    ('mocov2', 'optim_wrapper.paramwise_cfg.norm_decay', 'norm_decay_mult'),
    ('mocov2', 'optim_wrapper.clip_grad.maxnorm', 'max_norm'),
    ('mocov2', 'env_cfg.dist_cfg.backnd', 'backend'),
    ('mocov2', 'env_cfg.mp_cfg.mp_start', 'mp_start_method'),
    ('mocov2', 'default_hooks.checkpoint.intervall', 'interval'),
    ('mocov2', 'default_hooks.checkpiont.interval', 'checkpoint'),
    ('mocov2', 'data_preprocessor.meen', 'mean'),
    *(('mocov2', typo, right) for typo, right in dict(
        load_form='load_from', lod_from='load_from', resum='resume', log_levl='log_level',
        workdir='work_dir', train_loader='train_dataloader', train_config='train_cfg').items()),
])
def test_unknown_keys_are_refused_with_the_nearest(config, key, right):
    """Bug 38"""
    cfg = Config.fromfile(tiny.CONFIGS / f'{config}.py')
    cfg.merge_from_dict({key: 1 if '.batch_size' not in key else dict(a=1)})
    with pytest.raises(MultiSSLError, match='trian_dataloader|checkpiont|' + key.rpartition('.')[2]
                       ) as error:
        check_keys(cfg)
    assert f'is it {right}?' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('key, value, words', [
    ('optim_wrapper.optimizer.type', 'SGDD', 'there is no SGDD; is it SGD?'),
    ('train_dataloader.collate_fn.type', 'default_colate', 'is it default_collate?'),
    ('log_level', 'LOUD', 'log_level: there is no LOUD; there are DEBUG'),
    ('custom_hooks', ['x'], 'custom_hooks.0 is x, but a hook is a dict'),
    ('custom_hooks', {'0': dict(type='EMAHook')}, 'custom_hooks.0: the config has no such list'),
    ('val_dataloader', dict(batch_size=4), 'val_dataloader.batch_size: .* has no val_dataloader.d'),
    ('train_cfg.type', 'IterBasedTrainLoop', 'train_cfg.stages: stages are counted in epochs'),
    ('train_cfg.by_epoch', False, 'train_cfg.by_epoch: .* leave by_epoch out')])
def test_names_of_nothing_and_other_loops(key, value, words):
    cfg = Config.fromfile(tiny.CONFIGS / 'il_mocov2_densecl.py')
    cfg.merge_from_dict({key: value})
    with pytest.raises(MultiSSLError, match=words.replace('?', '[?]')):
        check_keys(cfg)


@pytest.mark.parametrize('name, known', [
    ('Foo', False), ('SGD', True), ('mmpretrain.LARS', True), (None, True)])
def test_an_optimizer_is_looked_for_before_a_run(name, known):
    cfg = Config.fromfile(tiny.CONFIGS / 'mocov2.py')
    cfg.optim_wrapper.optimizer.type = name
    with nullcontext() if known else pytest.raises(
            MultiSSLError, match=f'optim_wrapper.optimizer.type: there is no {name};'):
        check_optimizer(cfg)


def test_variables_have_any_name():
    cfg = Config.fromfile(tiny.CONFIGS / 'mocov2.py')
    backend = dict(type='LocalVisBackend')
    cfg.merge_from_dict(dict(vis_backend=backend, vis_backends=[backend], val_evaluator_abs=[1],
                             train_pipelines=[], epochs=3))
    check_keys(cfg)


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
    add_cfg_options(parser)
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


@pytest.mark.parametrize('option', [
    'train_dataloader.dataset.dataset.ann_file=a,b.txt', 'work_dir=a,b', 'resume=a,b',
    'train_dataloader.dataset.dataset.data_prefix=a,b', 'default_hooks.checkpoint.out_dir=o,p',
    'model.backbone.init_cfg.checkpoint=a,b.pth', 'train_cfg.max_epochs=1,2',
    'optim_wrapper.optimizer.lr=0,03'])
def test_commas_where_there_is_no_list(option):
    cfg = Config.fromfile(tiny.CONFIGS / 'mocov2.py')
    key, _, value = option.partition('=')
    with pytest.raises(MultiSSLError, match=f'{key}: commas make a list of {value}; '):
        check_options(cfg, parsed(option))
    check_options(cfg, parsed(f'{key}=[{value}]'))


@pytest.mark.parametrize('option, words', [
    ('model.tasks.1.queue_len=16', 'model.tasks is a list without 1; .*: 0 to 0'),
    ('model.tasks.x.queue_len=16', 'model.tasks is a list without x; '),
    ('train_cfg.max_epochs.x=1', 'train_cfg.max_epochs is 200, which has no entries'),
    ('model.tasks.0.queue_length=1', 'is it queue_len')])
def test_options_that_lead_nowhere(option, words):
    cfg = Config.fromfile(tiny.CONFIGS / 'mocov2.py')
    with pytest.raises(MultiSSLError, match=words):
        apply_options(cfg, parsed(option))


def test_lists_are_plain_ones_in_the_config():
    cfg = Config.fromfile(tiny.CONFIGS / 'il_mocov2_densecl.py')
    apply_options(cfg, parsed('train_cfg.stages=1,2', 'resume._delete_=True', 'resume.a=1'))
    assert type(cfg.train_cfg.stages) is list and cfg.train_cfg.stages == [1, 2]


@pytest.mark.parametrize('text, value', [
    ('w/d3 x', 'w/d3 x'), ("quo'te", "quo'te"), ('[a b, c]', ['a b', 'c']), ('1, 2', [1, 2]),
    ("['a,b',c]", ['a,b', 'c']), ("'a','b'", ['a', 'b']), ('[(1,2),[x]]', [(1, 2), ['x']]),
    ('[a][b].pth', '[a][b].pth'), ('(1,)', (1, )), ('[]', []), ('', ''), ('f(x)', 'f(x)')])
def test_texts_are_kept(text, value):
    assert parsed(f'a={text}') == dict(a=value)


def test_values_of_options():
    """Bug 14: what MMEngine's option takes is as before."""
    assert parsed('a=1', 'b=[1,2]', "c='[x,y]'", 'd=(1,2)', 'e=x', "f='x y'") == dict(
        a=1, b=[1, 2], c=['x', 'y'], d=(1, 2), e='x', f='x y')


@pytest.mark.parametrize('option, words', [('a=b(1,c', 'quotes that the shell leaves'),
                                           ('a=[a,b].pth', 'quotes that the shell leaves'),
                                           ('a=[dict(type="EMAHook",momentum=.5)]', 'a dict'),
                                           ('a', 'is not KEY=VALUE')])
def test_options_that_cannot_be_read_are_named(option, words, capsys):
    """Bug 14"""
    with pytest.raises(SystemExit):
        parsed(option)
    assert f'--cfg-options {option}: ' in (error := capsys.readouterr().err) and words in error


@pytest.mark.parametrize('entries', [
    dict(data=dict(samples_per_gpu=32, train=dict(type='SingleView'))),
    dict(optimizer=dict(type='SGD'), runner=dict(type='EpochBasedRunner', max_epochs=200))])
def test_a_config_of_mmselfsup_0(entries, tmp_path):
    """Bug 39"""
    Config(dict(entries, model=dict(type='MOCO'))).dump(tmp_path / 'old.py')
    with pytest.raises(MultiSSLError, match='old.py is .* of MMSelfSup 0.x.*configs of 1.x run'):
        load_config(tmp_path / 'old.py')


def test_an_empty_config(tmp_path):
    (tmp_path / 'empty.py').touch()
    with pytest.raises(MultiSSLError, match='empty.py has no model, so there is nothing to train'):
        train(RunOptions(tmp_path / 'empty.py', work_dir=tmp_path / 'work'))


@pytest.mark.parametrize('classes, words', [
    (('bus', 'car'), r'classes are bus, car, but the categories of .*a.json are Bus, car: no bus'),
    (('car', ), None)])
def test_classes_are_those_of_the_annotation_file(tmp_path, classes, words):
    """Bug 21"""
    (tmp_path / 'a.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='a.png', width=9, height=9)],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[1, 1, 3, 3], area=9)],
        categories=[dict(id=1, name='Bus'), dict(id=2, name='car')])))
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
