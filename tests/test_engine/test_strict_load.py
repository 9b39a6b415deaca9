"""StrictLoadHook: what would leave a backbone at random weights is an error."""
from types import SimpleNamespace

import pytest
import tiny
import torch
from mmengine.registry import HOOKS
from torch import nn

from multissl_mm.engine.hooks.strict_load import check_pretrained
from multissl_mm.errors import MultiSSLError
from multissl_mm.registry import MODELS
from multissl_mm.utils.checkpoint import load_checkpoint_file


@pytest.fixture
def file(tmp_path, scope):
    """Checkpoint of a pretraining run: backbone and a layer more."""
    weights = MODELS.build(tiny.backbone()).state_dict()
    path = tmp_path / 'pretrained.pth'
    torch.save(dict(state_dict={**{f'backbone.{k}': v for k, v in weights.items()},
                                'neck.weight': torch.zeros(1)}), path)
    return path


def model_from(checkpoint, prefix, **changes):
    model = nn.Module()
    model.backbone = MODELS.build(dict(
        tiny.backbone(), **changes,
        init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint), prefix=prefix)))
    return model


def hook(**kwargs):
    return HOOKS.build(dict(type='multissl_mm.StrictLoadHook', **kwargs))


@pytest.mark.parametrize('prefix', ['backbone.', 'backbone'])
def test_right_prefix_passes_and_loads(file, prefix):
    model = model_from(file, prefix)
    hook().before_run(SimpleNamespace(model=model))
    model.backbone.init_weights()
    saved = torch.load(file)['state_dict']
    assert torch.equal(model.backbone.conv1.weight, saved['backbone.conv1.weight'])


@pytest.mark.parametrize('prefix, expected', [
    ('bakcbone.', 'backbone., neck.'),  # says what there is
    (None, 'set prefix'),
    ('neck.', 'conv1.weight'),
])
def test_wrong_prefix_is_an_error(file, prefix, expected):
    with pytest.raises(MultiSSLError, match='model.backbone.init_cfg') as error:
        check_pretrained(model_from(file, prefix))
    assert expected in str(error.value)


def test_other_architecture_is_an_error(file):
    with pytest.raises(MultiSSLError, match='layer1.0.conv1.weight .* instead of'):
        check_pretrained(model_from(file, 'backbone.', base_channels=16))
    with pytest.raises(MultiSSLError, match='layer1.2'):
        check_pretrained(model_from(file, 'backbone.', depth=34))


def test_missing_or_broken_file_is_an_error(tmp_path, scope):
    with pytest.raises(MultiSSLError, match='init_cfg.*no such checkpoint'):
        check_pretrained(model_from(tmp_path / 'none.pth', 'backbone.'))
    (tmp_path / 'broken.pth').write_bytes(b'nothing')
    with pytest.raises(MultiSSLError, match='cannot be read'):
        check_pretrained(model_from(tmp_path / 'broken.pth', 'backbone.'))


def test_a_test_does_not_ask_for_the_pretrained_file(tmp_path, scope):
    hook(check_init=False).before_run(SimpleNamespace(model=model_from(tmp_path / 'none', None)))


def test_list_of_init_cfgs(file):
    model = model_from(file, 'backbone.')
    model.backbone.init_cfg = [dict(type='Kaiming', layer='Conv2d'), model.backbone.init_cfg]
    check_pretrained(model)
    model.backbone.init_cfg[1]['prefix'] = 'x'
    with pytest.raises(MultiSSLError):
        check_pretrained(model)


def test_load_from_must_fill_the_backbone(file):
    model = model_from(file, 'backbone.')
    checkpoint = torch.load(file)
    hook().after_load_checkpoint(SimpleNamespace(model=model), checkpoint)
    # as saved by a distributed wrapper
    wrapped = {f'module.{k}': v for k, v in checkpoint['state_dict'].items()}
    hook().after_load_checkpoint(SimpleNamespace(model=model), dict(state_dict=wrapped))
    bare = {k.removeprefix('backbone.'): v for k, v in checkpoint['state_dict'].items()}
    runner = SimpleNamespace(model=model, _load_from='a.pth')
    for content, message in ((dict(state_dict=bare), 'does not fill .*lacks backbone.conv1.weight'),
                             (dict(state_dict={k: v * torch.nan for k, v in checkpoint[
                                 'state_dict'].items()}), 'has NaN or infinite values in backbone'),
                             ([bare], 'holds a list')):
        with pytest.raises(MultiSSLError, match=f'^a.pth:? {message}'):
            hook().after_load_checkpoint(runner, content)


def test_what_is_tested_is_whole(file):
    """Bug 3: a detector with random heads, or with those of other classes, is not tested."""
    model = model_from(file, 'backbone.')
    model.decoder, model.neck = nn.Linear(1, 1), nn.Linear(1, 2)
    runner = SimpleNamespace(model=model, _load_from='a run.pth')
    checkpoint = torch.load(file)
    hook().after_load_checkpoint(runner, checkpoint)  # of a training
    with pytest.raises(MultiSSLError, match='a run.pth lacks decoder.weight, decoder.bias, '
                       r'neck.bias, neck.weight \(1,\) instead of \(2, 1\) of Module'):
        hook(check_init=False).after_load_checkpoint(runner, checkpoint)


def test_what_is_resumed_is_more_than_weights(file):
    model = model_from(file, 'backbone.')
    resumed = SimpleNamespace(model=model, _resume=True, _load_from='a.pth')
    checkpoint = dict(torch.load(file), message_hub={}, optimizer={}, meta=dict(epoch=1, iter=2))
    hook().after_load_checkpoint(resumed, checkpoint)
    for key, value, lacks in (('message_hub', None, 'message_hub:'), ('optimizer', None, 'optim'),
                              ('meta', dict(epoch=1), 'meta.iter:'),
                              ('meta', None, 'meta.epoch, meta.iter:')):
        other = {k: v for k, v in checkpoint.items() if k != key}
        other.update({} if value is None else {key: value})
        with pytest.raises(MultiSSLError, match=f'a.pth has no {lacks}.* load_from=a.pth'):
            hook().after_load_checkpoint(resumed, other)


class Renamed(nn.Linear):
    """Reads what its version 1 called `w`."""
    _version = 2

    def _load_from_state_dict(self, state_dict, prefix, metadata, *args):
        if metadata.get('version') == 1:
            state_dict[f'{prefix}weight'] = state_dict.pop(f'{prefix}w')
        super()._load_from_state_dict(state_dict, prefix, metadata, *args)


@pytest.mark.parametrize('version, key', [(1, 'w'), (2, 'weight')])
def test_old_keys_that_a_model_converts_fill_it(file, tmp_path, version, key):
    model = nn.Module()
    model.head = Renamed(1, 1)
    state = model.state_dict()
    state[f'head.{key}'] = state.pop('head.weight')
    state._metadata['head'] = dict(version=version)
    torch.save(dict(state_dict=state), tmp_path / 'old.pth')
    hook(check_init=False).after_load_checkpoint(
        SimpleNamespace(model=model), load_checkpoint_file(tmp_path / 'old.pth'))
