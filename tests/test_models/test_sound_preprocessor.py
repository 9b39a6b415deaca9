"""The front end of sound: waveforms to log power spectrograms."""

import numpy as np
import pytest
import scipy.signal
import torch
from mmengine.structures import BaseDataElement

from multissl_mm.errors import MultiSSLError
from multissl_mm.models import SoundPreprocessor

RNG = np.random.default_rng(0)
TIME = np.arange(96000) / 48000
SOUNDS = {
    'noise': RNG.normal(0, .3, (2, 96000)),
    'a tone in noise': np.sin(2 * np.pi * 440 * TIME) + RNG.normal(0, .01, (2, 96000)),
    'a rising engine': scipy.signal.chirp(TIME, 40, 2, 400) * np.array([[1.], [.2]]) +
    RNG.normal(0, .01, (2, 96000))
}


def small(**kwargs):
    return SoundPreprocessor(**{**dict(n_fft=64, win_length=50, hop_length=20), **kwargs})


def batch(**sounds):
    return dict(inputs=sounds, data_samples=None)


def scipy_stft(waves, n_fft=512, win_length=400, hop_length=160):
    """(2, S) to complex (2, F, T) in double precision, as torch defines it."""
    before = (n_fft - win_length) // 2  # a shorter window stands in the middle
    window = np.zeros(n_fft)
    window[before:before + win_length] = scipy.signal.get_window('hann', win_length)
    padded = np.pad(waves, ((0, 0), (n_fft // 2, n_fft // 2)), 'reflect')
    _, _, z = scipy.signal.stft(padded, window=window, nperseg=n_fft, noverlap=n_fft - hop_length,
                                boundary=None, padded=False)
    return z * window.sum()  # SciPy scales to a spectrum


@pytest.mark.parametrize('name', SOUNDS)
def test_equals_scipy_in_double_precision(name):
    waves = SOUNDS[name].astype(np.float32)
    out = SoundPreprocessor()(batch(clip=torch.from_numpy(waves)[None]))['inputs']['clip']
    assert out.shape == (1, 2, 257, 601) and out.dtype == torch.float32
    waves = waves.astype(np.float64)
    power = np.abs(scipy_stft(waves * .1 / np.sqrt(np.square(waves).mean())))**2
    expected = np.log(np.maximum(power, 1e-5))
    # Single precision keeps power to 1e-6 of the loudest bin, its log near the floor less exactly.
    np.testing.assert_allclose(out[0].exp(), np.maximum(power, 1e-5), rtol=0,
                               atol=1e-6 * power.max())
    np.testing.assert_allclose(out[0], expected, rtol=1e-4, atol=1e-5)
    assert np.abs(out[0].numpy() - expected).mean() < 1e-4


def test_bands_are_the_mean_power_of_their_frequencies():
    torch.manual_seed(0)
    waves = torch.randn(6, 2, 400)
    plain, bands = small().log_power(waves), small(bands=8).log_power(waves)
    assert bands.shape == (6, 2, 8, 21)
    torch.testing.assert_close(bands[:, :, 2], plain[:, :, 9:13].exp().mean(2).log())
    assert bands.std() < .7 * plain.std()
    with pytest.raises(MultiSSLError, match='bands is 7, not a divisor of n_fft / 2 = 32'):
        small(bands=7)


def test_loudness_goes_but_the_difference_between_the_ears_stays():
    torch.manual_seed(0)
    one = torch.randn(2, 400)
    waves = torch.stack([one, one * 1000, one * torch.tensor([[1.], [.5]])])
    a, b, c = small(floor=1e-30).log_power(waves)
    torch.testing.assert_close(a, b, atol=1e-3, rtol=0)
    torch.testing.assert_close((c[0] - c[1]) - (a[0] - a[1]), torch.full_like(a[0], np.log(4.)),
                               atol=1e-2, rtol=0)
    level = one.square().mean().sqrt()
    torch.testing.assert_close(a, small(floor=1e-30, rms=level.item()).log_power(one[None])[0] -
                               2 * (level / .1).log(), atol=1e-3, rtol=0)


def test_silence_stays_silent():
    out = small()(batch(clip=torch.zeros(2, 2, 400)))['inputs']['clip']
    assert torch.equal(out, torch.full_like(out, np.log(np.float32(1e-5))))


def test_all_sounds_of_a_length_at_once_and_nothing_else_is_touched(monkeypatch):
    model, seen = small(), []
    log_power = model.log_power
    monkeypatch.setattr(model, 'log_power',
                        lambda waves, level: seen.append(len(waves)) or log_power(waves, level))
    clip, other, flow = torch.randn(3, 2, 400), torch.randn(3, 2, 400), torch.randn(3, 8, 2, 4, 8)
    inputs = batch(clip=clip, other=other, flow=flow, rotation=torch.arange(3))
    out = model(inputs)['inputs']
    assert seen == [6]
    assert set(inputs['inputs']) == set(out) and inputs['inputs']['clip'] is clip
    assert torch.equal(out['flow'], flow) and torch.equal(out['rotation'], torch.arange(3))
    for name, waves in (('clip', clip), ('other', other)):  # as if each were alone
        torch.testing.assert_close(out[name], small()(batch(clip=waves))['inputs']['clip'])
    out = model(batch(clip=clip, other=torch.randn(3, 2, 300)))['inputs']
    assert seen == [6, 3, 3] and out['other'].shape == (3, 2, 33, 16)


def test_single_precision_whatever_autocast_is():
    waves = torch.randn(2, 2, 400)
    expected = small().log_power(waves)
    with torch.autocast('cpu', torch.bfloat16):
        for x in (waves, waves.double()):
            out = small()(batch(clip=x))['inputs']['clip']
            assert out.dtype == torch.float32
            torch.testing.assert_close(out, expected, rtol=0, atol=0)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_samples_that_are_not_finite_are_named(value):
    clip, other = torch.randn(3, 2, 400), torch.randn(3, 2, 400)
    other[1, 0, 7] = value
    samples = [BaseDataElement(metainfo=dict(scene=30 + i, start=2. * i)) for i in range(3)]
    with pytest.raises(MultiSSLError, match=r'in other of sample 1 of the batch \(scene 31, start '
                       r'2.0\); restore'):
        small()(dict(inputs=dict(clip=clip, other=other), data_samples=samples))
    with pytest.raises(MultiSSLError, match='in other of sample 1 of the batch; restore'):
        small()(batch(clip=clip, other=other))


def test_batches_that_have_no_sound_to_speak_of():
    with pytest.raises(MultiSSLError, match=r"names clip, other, but the batch has \['flow'\]"):
        small()(batch(flow=torch.zeros(1, 1)))
    with pytest.raises(MultiSSLError, match='but the batch has list'):
        small()(dict(inputs=[torch.zeros(2, 400)]))
    with pytest.raises(MultiSSLError, match='clip has 32 samples, too few .*n_fft of 64'):
        small()(batch(clip=torch.zeros(1, 2, 32)))


def test_its_text_tells_all_settings():
    # Stored responses are refused where it differs, see engine/recording.py.
    texts = [repr(small(**kwargs)) for kwargs in (
        {}, dict(n_fft=128), dict(win_length=40), dict(hop_length=10), dict(rms=.2),
        dict(floor=1e-4), dict(sounds=('clip', )),
        dict(bands=8))]
    assert len(set(texts)) == len(texts)
