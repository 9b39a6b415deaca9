"""Concatenated encoders and progressive columns."""
from copy import deepcopy

import pytest
import tiny
import torch
from mmengine.registry import MODELS

from multissl_mm.errors import MultiSSLError

STAGES = dict(tiny.backbone(), out_indices=(0, 1, 2, 3))
WIDER = dict(STAGES, base_channels=16)
X = torch.randn(2, 3, 64, 64)


def build(kind, **kwargs):
    model = MODELS.build(dict(type=f'multissl_mm.{kind}', **kwargs))
    model.init_weights()
    return model


def test_concatenation_equals_its_parts(scope):
    model = build('ConcatBackbone', encoders=[STAGES, WIDER]).train()
    outs = model(X)
    assert [o.shape[1] for o in outs] == [24, 48, 96, 192]
    parts = [MODELS.build(cfg) for cfg in (STAGES, WIDER)]
    for part, encoder in zip(parts, model.frozen.encoders):
        part.load_state_dict(encoder.state_dict())
        part.eval()
        # in training mode, too, an encoder is in eval mode and keeps its statistics
        torch.testing.assert_close(encoder.state_dict(), part.state_dict(), rtol=0, atol=0)
    for stage, out in enumerate(outs):
        assert torch.equal(out, torch.cat([p(X)[stage] for p in parts], dim=1))
    assert not any(p.requires_grad for p in model.parameters())


def test_concatenation_of_encoders_that_do_not_fit(scope):
    other = dict(STAGES, strides=(1, 2, 2, 1), out_indices=(0, 1, 2, 3))
    model = build('ConcatBackbone', encoders=[STAGES, other])
    with pytest.raises(MultiSSLError, match=r'encoders.1 \(ResNet\): output 3 is 4 x 4, that of '
                       r'encoders.0 \(ResNet\) 2 x 2'):
        model(X)
    model = build('ConcatBackbone', encoders=[STAGES, tiny.backbone()])
    with pytest.raises(MultiSSLError, match='encoders.1 .* puts out 1 stages, encoders.0 .* 4'):
        model(X)
    with pytest.raises(MultiSSLError, match='is empty'):
        build('ConcatBackbone', encoders=[])


def test_a_column_with_zero_laterals_equals_a_plain_one(scope):
    model = build('ProgressiveColumns', columns=[STAGES, WIDER, STAGES]).eval()
    with_laterals = model(X)
    for lateral in model.laterals.values():
        lateral.scale.data.zero_()
    for k in range(3):
        model.set_column(k)
        for a, b in zip(model(X), plain(model, k)):
            assert torch.equal(a, b)
    assert not torch.allclose(with_laterals[-1], model(X)[-1])
    # every earlier column into every stage but the first
    assert sorted(model.laterals) == sorted(f'{k}_{i}_{j}' for k in (1, 2) for i in (1, 2, 3)
                                            for j in range(k))


def plain(model, k):
    backbone = MODELS.build((STAGES, WIDER, STAGES)[k])
    backbone.load_state_dict(model.columns[k].state_dict())
    backbone.eval()
    return backbone(X)


def test_laterals_by_hand(scope):
    model = build('ProgressiveColumns', columns=[STAGES, STAGES]).eval()
    first, second = (MODELS.build(STAGES) for _ in range(2))
    first.load_state_dict(model.columns[0].state_dict())
    second.load_state_dict(model.columns[1].state_dict())
    first.eval(), second.eval()
    before = first(X)
    x, outs = second.maxpool(second.relu(second.norm1(second.conv1(X)))), []
    for i, name in enumerate(second.res_layers):
        if i:
            lateral = model.laterals[f'1_{i}_0']
            x = x + lateral.scale * torch.nn.functional.conv2d(before[i - 1], lateral.conv.weight)
        x = getattr(second, name)(x)
        outs.append(x)
    for a, b in zip(model(X), outs):
        torch.testing.assert_close(a, b)


def test_columns_and_encoders_are_initialised_as_alone(scope, tmp_path):
    alone = MODELS.build(dict(STAGES, init_cfg=dict(type='Constant', layer='Conv2d', val=.5)))
    alone.init_weights()
    torch.save(dict(state_dict={f'backbone.{k}': v for k, v in alone.state_dict().items()}),
               tmp_path / 'x.pth')
    pretrained = dict(STAGES, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'x.pth'),
                                            prefix='backbone.'))
    columns = build('ProgressiveColumns', columns=[pretrained, STAGES]).columns
    encoders = build('ConcatBackbone', encoders=[pretrained, STAGES]).frozen.encoders
    for first, second in (columns, encoders):
        for key, value in alone.state_dict().items():
            assert torch.equal(first.state_dict()[key], value), key
        assert abs(second.conv1.weight.std() / (2 / (64 * 49))**.5 - 1) < .1  # Kaiming, fan out


def test_a_checkpoint_brings_its_column(scope):
    model = build('ProgressiveColumns', columns=[STAGES, STAGES]).eval()
    model.set_column(0)
    other = build('ProgressiveColumns', columns=[STAGES, STAGES]).eval()
    assert other.column == 1
    other.load_state_dict(model.state_dict())
    assert other.column == 0 and torch.equal(other(X)[-1], model(X)[-1])


def test_frozen_columns_never_change_and_copies_lead_their_own_life(scope):
    model = build('ProgressiveColumns', columns=[STAGES, STAGES]).train()
    copy = deepcopy(model)
    before = deepcopy(model.columns[0].state_dict())
    optimizer = torch.optim.SGD(model.parameters(), .1, weight_decay=.1)
    for _ in range(2):
        model.train()  # as MMEngine does at every epoch
        model(torch.randn(4, 3, 64, 64))[-1].square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(model.columns[0].state_dict(), before, rtol=0, atol=0)
    moved = model.laterals['1_1_0'].conv.weight
    assert not torch.equal(moved, copy.laterals['1_1_0'].conv.weight)
    # The copy runs through its own columns and laterals.
    model.eval(), copy.eval()
    expected = copy(X)[-1]
    for p in model.parameters():
        p.data.fill_(float('nan'))
    assert torch.equal(copy(X)[-1], expected)


def test_columns_that_do_not_fit(scope):
    with pytest.raises(MultiSSLError, match="has no stage 'layer9'"):
        build('ProgressiveColumns', columns=[STAGES] * 2, stages=('layer1', 'layer9'))
    other = dict(STAGES, strides=(1, 1, 2, 2))
    with pytest.raises(MultiSSLError, match="'layer2' of columns.0 puts out .*same strides"):
        build('ProgressiveColumns', columns=[STAGES, other])
