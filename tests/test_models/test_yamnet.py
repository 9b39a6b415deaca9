"""YAMNet: its shapes, its mel bands, and the real one where somebody has fetched it."""
import numpy as np
import pytest
import tiny
import torch
from mmengine.registry import MODELS

from multissl_mm.converters.yamnet import SoundTagger, convert_yamnet, hear_files
from multissl_mm.errors import MultiSSLError
from multissl_mm.models.backbones import YAMNet, output_shapes
from multissl_mm.models.backbones.yamnet import BANDS, SameConv, mel_bands
from multissl_mm.models.sound_preprocessor import SoundPreprocessor

REAL = tiny.CONFIGS.parent / 'data' / 'evidence' / 'yamnet'
ENCODER = dict(type='multissl_mm.BinauralEncoder', ear=dict(type='multissl_mm.YAMNet'))


def test_shapes_and_numbers(scope):
    encoder = MODELS.build(ENCODER).eval()
    assert output_shapes(encoder, (2, 257, 201)) == [(2048, 2, 7)]
    assert output_shapes(encoder, (2, 64, 64)) == [(2048, 2, 2)]  # of any number of bins
    # As many as the published model has: without its classifier, and its norms do not scale.
    scales = sum(unit[1].weight.numel() for unit in encoder.ear.units)
    numbers = sum(p.numel() for p in encoder.parameters()) - scales
    statistics = sum(b.numel() for b in encoder.buffers() if b.dim())
    assert numbers + statistics + 1024 * 521 + 521 == 3_751_369


@pytest.mark.parametrize('size', [6, 7])
@pytest.mark.parametrize('stride', [1, 2])
def test_padding_is_tensorflows(size, stride):
    conv = SameConv(1, 1, 3, stride, bias=False)
    torch.nn.init.ones_(conv.weight)
    out = conv(torch.ones(1, 1, size, size))[0, 0]
    assert out.shape == (-(-size // stride), ) * 2
    # An even size with a stride of 2 is padded at its end alone.
    assert out[0, 0] == (9 if stride == 2 and size == 6 else 4)
    assert out[-1, -1] == 4


def test_mel_bands():
    bands = mel_bands(257, 16000, torch.device('cpu'))
    assert bands.shape == (257, BANDS) and (bands >= 0).all() and bands.max() <= 1
    hertz = torch.linspace(0, 8000, 257)
    heard = hertz[bands.sum(1) > 0]
    assert 125 <= heard[0] < 160 and 7450 < heard[-1] <= 7500
    peaks = hertz[bands.argmax(0)]
    assert (peaks.diff() >= 0).all()
    # Neighbouring triangles add up to one, in between.
    middle = (hertz > 300) & (hertz < 7000)
    torch.testing.assert_close(bands.sum(1)[middle], torch.ones(int(middle.sum())))


def test_hears_the_same_at_another_rate():
    """Windows of 25 ms at 48 kHz, three times as many samples: the same bands."""
    t = torch.arange(96000) / 48000
    wave = sum(torch.sin(2 * torch.pi * f * t) for f in (300, 1000, 3300)) / 5
    wide = SoundPreprocessor(1536, 1200, 480)
    narrow = SoundPreprocessor(512, 400, 160)
    mels = [YAMNet(rate, window).log_mel(p.log_power(w.expand(1, 2, -1))[:, :1])
            for rate, window, p, w in ((48000, 1200, wide, wave), (16000, 400, narrow, wave[::3]))]
    assert mels[0].shape == mels[1].shape
    middle = [mel[0, 0, 20:-20].mean(0) for mel in mels]
    loud = middle[1] > -1
    assert loud.sum() >= 6 and (middle[0] - middle[1])[loud].abs().max() < .1


def test_other_variables_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr('multissl_mm.converters.yamnet.read_variables', lambda prefix: {
        'x/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE': np.zeros((3, 3, 1, 8), 'f4')})
    with pytest.raises(MultiSSLError, match='these are not the variables of YAMNet; missing'):
        convert_yamnet(tmp_path, tmp_path / 'out.pth')
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.skipif(not REAL.is_dir(), reason='tools/evidence/fetch.sh yamnet has not been run')
def test_the_real_one_hears_what_it_should(tmp_path, scope):
    """Silence, noise and a tone as in the tests of its authors."""
    path = tmp_path / 'yamnet.pth'
    assert len(convert_yamnet(REAL, path)) == 521
    heard = {name: [tag.name for tag in tags]
             for name, tags in hear_files(SoundTagger(path), [], top=10)}
    assert heard['silence'][0] == 'Silence'
    assert 'White noise' in heard['noise']
    assert 'Sine wave' in heard['tone of 1 kHz']
    encoder = MODELS.build(dict(ENCODER, init_cfg=dict(
        type='Pretrained', checkpoint=str(path), prefix='backbone.')))
    encoder.init_weights()
    kernel = torch.load(path, weights_only=True)['state_dict']['backbone.ear.units.0.0.weight']
    assert torch.equal(encoder.ear.units[0][0].weight, kernel)
