"""The encoders of sound and of panoramas."""
import pytest
import tiny
import torch
from mmengine.registry import MODELS

from multissl_mm.converters import verify_backbone
from multissl_mm.errors import MultiSSLError
from multissl_mm.models import MomentumEncoder
from multissl_mm.models.backbones import output_shapes

SMALL = dict(type='multissl_mm.BinauralEncoder', channels=(4, 4, 8, 8, 8))
RESNET = dict(tiny.backbone(), in_channels=1)
SOUND = (2, 33, 41)


def build(cfg):
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def test_the_published_encoder(scope):
    model = build(dict(type='multissl_mm.BinauralEncoder'))
    assert output_shapes(model, (2, 257, 601)) == [(1024, 8, 18)]
    # 4 x 4 convolutions without biases, and batch norms
    channels = (1, 64, 128, 256, 512, 512)
    expected = sum(16 * i * o + 2 * o for i, o in zip(channels, channels[1:]))
    assert sum(p.numel() for p in model.parameters()) == expected


@pytest.mark.parametrize('cfg', [SMALL, dict(type='multissl_mm.BinauralEncoder', ear=RESNET)])
def test_both_ears_share_the_encoder(scope, cfg):
    model = build(cfg).eval()
    x = torch.randn(3, *SOUND)
    (out, ), (swapped, ), (left, ) = model(x), model(x.flip(1)), model(x[:, [0, 0]])
    c = out.size(1) // 2
    torch.testing.assert_close(swapped, torch.cat([out[:, c:], out[:, :c]], 1))
    torch.testing.assert_close(left[:, :c], out[:, :c])
    torch.testing.assert_close(left[:, c:], out[:, :c])
    assert not torch.allclose(out[:, :c], out[:, c:])


def test_stages(scope):
    shapes = output_shapes(build(dict(SMALL, out_indices=(0, 2, -1))), SOUND)
    assert shapes == [(8, 16, 20), (16, 4, 5), (16, 1, 1)]
    ear = dict(RESNET, out_indices=(1, 3))
    shapes = output_shapes(build(dict(type='multissl_mm.BinauralEncoder', ear=ear)), SOUND)
    assert [s[0] for s in shapes] == [32, 128]


def test_works_where_backbones_do(scope):
    model = build(SMALL).eval()
    x = torch.randn(2, *SOUND)
    momentum = MomentumEncoder(model).eval()
    assert torch.equal(momentum(x)[0], model(x)[0])
    verify_backbone(model.state_dict(), SMALL)  # as export_backbone.py --config does
    concat = build(dict(type='multissl_mm.ConcatBackbone', encoders=[SMALL, SMALL]))
    assert concat(x)[0].shape == (2, 32, 1, 1)
    columns = build(dict(type='multissl_mm.ProgressiveColumns', columns=[SMALL, SMALL],
                         stages=[f'ear.{i}' for i in range(5)], input_shape=SOUND)).eval()
    before = columns(x)[0]
    assert before.shape == (2, 16, 1, 1)
    for lateral in columns.laterals.values():
        lateral.scale.data.zero_()
    assert len(columns.laterals) == 4 and not torch.equal(columns(x)[0], before)
    plain = build(SMALL).eval()
    plain.load_state_dict(columns.columns[1].state_dict())
    assert torch.equal(columns(x)[0], plain(x)[0])
    with pytest.raises(MultiSSLError, match="no stage 'layer1'"):
        build(dict(type='multissl_mm.ProgressiveColumns', columns=[SMALL], input_shape=SOUND))


@pytest.mark.parametrize('strides, columns', [(((2, 2), (2, 2), (2, 2), (2, 1)), 16),
                                              (((2, 2), (2, 2), (2, 2), (2, 2)), 8)])
def test_turned_panoramas_give_turned_features(scope, strides, columns):
    model = build(dict(type='multissl_mm.PanoramaEncoder', in_channels=6, channels=(4, 4, 8, 8),
                       strides=strides)).double()
    flow = 4 * torch.randn(2, 3, 2, 32, 128, dtype=torch.float64)
    model(flow)  # statistics of its own
    model.eval()
    out = model(flow)
    assert out.shape == (2, 8, 2, columns) and model.out_channels == 8
    for eighths in range(8):
        turned = model(flow.roll(eighths * 128 // 8, -1))
        torch.testing.assert_close(turned, out.roll(eighths * columns // 8, -1), rtol=0,
                                   atol=1e-14)
    # the height is no ring
    assert not torch.allclose(model(flow.roll(16, 3)), out.roll(1, 2))


def test_long_tails_of_flow_are_cut_and_other_clips_refused(scope):
    model = build(dict(type='multissl_mm.PanoramaEncoder', in_channels=2, scale=4.)).eval()
    assert torch.equal(model(torch.full((1, 1, 2, 8, 64), 12.)),
                       model(torch.full((1, 1, 2, 8, 64), 1e6)))
    with pytest.raises(MultiSSLError, match='in_channels is 2, but the clips have 3 frames of 2'):
        model(torch.zeros(1, 3, 2, 8, 64))
