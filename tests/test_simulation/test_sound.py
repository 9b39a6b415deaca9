"""The simulator's sound and 360-degree video, against physics and geometry."""
import json
import sys
import time
from dataclasses import replace
from importlib.util import find_spec

import av
import numpy as np
import pytest
import soundfile
from scipy import signal

from multissl_mm.datasets.ear_pairs import EAR_PAIRS
from multissl_mm.errors import MultiSSLError
from multissl_mm.simulation import CLASSES, Scene, Vehicle, heads, hearing
from multissl_mm.simulation.engines import vehicle_sound
from multissl_mm.simulation.heads import kemar
from multissl_mm.simulation.hearing import Ears, arriving, hear
from multissl_mm.simulation.omniaudio import Recording, nth_scene, write_omniaudio, write_scene
from multissl_mm.simulation.panorama import PanoramaCamera, equirectangular
from multissl_mm.simulation.scene import street_scene

RATE = 16000


def passing(kind='car', speed=12., distance=6., closest=2., look=3):
    """A vehicle that passes ahead of the listener from right to left."""
    return Vehicle(kind, (4.3, 1.8, 1.45), (distance, -speed * closest), (0., speed), np.pi / 2,
                   look)


def at(azimuth, rate=RATE, seconds=.5):
    """What the front pair (2, samples) hears of noise at an azimuth."""
    ears = Ears(int(seconds * rate), rate)
    ears.add(np.random.default_rng(0).standard_normal(int(seconds * rate)).astype(np.float32),
             np.float64(azimuth))
    return ears.heard()[:2]


def lead_ms(ears, rate):
    """By how much the left ear is earlier, in milliseconds, from the cross-correlation."""
    fine = signal.resample_poly(ears, 8, 1, axis=1)
    lags = np.arange(-160, 161) if rate == 16000 else np.arange(-400, 401)
    middle = slice(1000, -1000)
    products = [(fine[0, middle] * np.roll(fine[1], -k)[middle]).sum() for k in lags]
    return lags[int(np.argmax(products))] / 8 / rate * 1000


@pytest.mark.parametrize('rate', [16000, 48000])
def test_a_source_at_the_left_leads_there_and_is_louder(rate):
    ears = at(90, rate)
    assert .6 <= lead_ms(ears, rate) <= .75
    assert 8 <= 20 * np.log10(ears[0].std() / ears[1].std()) <= 15


def test_the_head_is_the_same_on_both_sides_and_hears_nothing_of_them_ahead():
    left, right, ahead = at(60), at(-60), at(0)
    assert lead_ms(left, RATE) == pytest.approx(-lead_ms(right, RATE), abs=.03)
    assert abs(lead_ms(ahead, RATE)) < .03
    assert abs(np.log10(ahead[0].std() / ahead[1].std())) < .02


def test_a_static_source_is_the_convolution_with_the_measured_head():
    noise = np.random.default_rng(1).standard_normal(4000).astype(np.float32)
    ears = Ears(4000, RATE)
    ears.add(noise, np.float64(35.))
    expected = np.stack([signal.fftconvolve(noise, kemar(RATE)[7, :, ear])[:4000]
                         for ear in range(2)])
    np.testing.assert_allclose(ears.heard()[:2], expected, atol=1e-4)
    # A later start of the source shifts what is heard.
    later = Ears(4000, RATE)
    later.add(noise[:3000], np.float64(35.), start=777)
    np.testing.assert_allclose(later.heard()[:2, 777:3777], expected[:, :3000], atol=1e-4)


def test_turning_the_scene_is_choosing_the_next_pair():
    scene = street_scene(np.random.default_rng(5), 4.)
    sound, turned = hear(scene, 4., RATE), hear(scene.rotated(90), 4., RATE)
    assert sound.std() > 1e-4
    np.testing.assert_allclose(turned[:6], sound[2:], atol=1e-6)
    np.testing.assert_allclose(turned[6:], sound[:2], atol=1e-6)
    before, after = (PanoramaCamera(s).frame(1.) for s in (scene, scene.rotated(90)))
    assert before.labels.any()
    assert (np.roll(before.labels, -64, axis=1) == after.labels).all()
    apart = np.abs(np.roll(before.image, -64, axis=1).astype(int) - after.image)
    assert np.median(apart) <= 6  # the camera's noise is its own


def test_pitch_falls_by_doppler(monkeypatch):
    tone = 1000.
    monkeypatch.setattr(hearing, 'vehicle_sound', lambda vehicle, seconds, rate: np.sin(
        2 * np.pi * tone * np.arange(round(seconds * rate)) / rate).astype(np.float32))
    start, sound, distance = arriving(passing(speed=14., distance=2., closest=4.), 8 * RATE, RATE)
    assert start == 0 and len(sound) == 8 * RATE
    spectrum = [np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 18))
                for part in (sound[:RATE], sound[-RATE:])]
    heard = [s.argmax() * RATE / (1 << 18) for s in spectrum]
    assert heard[0] == pytest.approx(tone / (1 - 14 / 343), rel=2e-3)
    assert heard[1] == pytest.approx(tone / (1 + 14 / 343), rel=2e-3)
    nearest = distance.argmin() / RATE
    assert nearest == pytest.approx(4., abs=.02)
    assert np.abs(sound).argmax() / RATE == pytest.approx(nearest, abs=.5)


@pytest.mark.parametrize('look', range(4))
def test_the_pitch_of_a_passing_car_falls(look):
    car = passing(speed=15., distance=4., closest=3., look=look)
    _, sound, distance = arriving(car, 6 * RATE, RATE)
    sound = sound * distance
    log_f = np.geomspace(30, 400, 2400)
    spectra = []
    for part in (sound[:2 * RATE], sound[-2 * RATE:]):
        f, power = signal.welch(part, RATE, nperseg=RATE)
        level = np.log(np.interp(log_f, f, power))
        spectra.append(level - signal.savgol_filter(level, 501, 2))
    step = np.log(log_f[1] / log_f[0])
    lags = np.arange(-120, 121)
    best = lags[np.argmax([(spectra[0] * np.roll(spectra[1], k))[130:-130].sum() for k in lags])]
    assert .02 < best * step < .15  # 2 v/c is 0.087; the driver's foot moves, too


def test_pressure_falls_with_distance_and_what_stands_is_silent():
    levels = [np.abs(arriving(passing(distance=d), 4 * RATE, RATE)[1]).max() for d in (5., 20.)]
    assert levels[0] / levels[1] == pytest.approx(4, rel=.35)
    parked = replace(passing(), velocity=(0., 0.), start=(5., 0.))
    alone = hear(Scene(1, (parked, )), 1., RATE)
    np.testing.assert_array_equal(alone, hear(Scene(1, ()), 1., RATE))
    assert not PanoramaCamera(Scene(1, (parked, ))).frame(0.).labels.any()
    empty = PanoramaCamera(Scene(1, ())).still
    assert (PanoramaCamera(Scene(1, (parked, ))).still != empty).any()


def test_an_ambience_tells_where_but_not_when():
    def bands(sound):
        f, power = signal.welch(sound[0], RATE, nperseg=1024)
        return np.log(np.add.reduceat(power, np.arange(1, 512, 32)))

    scenes = [hear(Scene(seed, ()), 8., RATE) for seed in (1, 2)]
    first, second = (bands(s[:, :4 * RATE]) for s in scenes)
    again = bands(scenes[0][:, 4 * RATE:])
    assert np.abs(first - second).mean() > 4 * np.abs(first - again).mean()


def test_every_class_sounds_and_no_other_like_it():
    spectra = {}
    for kind in CLASSES:
        sound = vehicle_sound(passing(kind), 3., RATE)
        assert sound.dtype == np.float32 and np.isfinite(sound).all()
        assert (sound == vehicle_sound(passing(kind), 3., RATE)).all()
        assert (sound != vehicle_sound(passing(kind, look=4), 3., RATE)).any()
        _, power = signal.welch(sound, RATE, nperseg=2048)
        spectra[kind] = power / power.sum()
    for a in CLASSES:
        for b in CLASSES:
            assert a == b or np.minimum(spectra[a], spectra[b]).sum() < .75


# ---------------------------------------------------------------------- pictures

def test_the_columns_are_azimuths():
    project = equirectangular(256, 128)
    points = np.array([[5., 0, 1.7], [0, 5., 1.7], [0, -5., 1.7], [5., 0, 1.7 + 5]])
    np.testing.assert_allclose(project(points)[:, :2],
                               [[128, 64], [64, 64], [192, 64], [128, 32]], atol=1e-9)


def test_a_vehicle_behind_is_at_both_ends_of_the_picture():
    bus = Vehicle('bus', (11., 2.5, 3.1), (-6., 0.), (0., .01), np.pi / 2, 0)
    labels = PanoramaCamera(Scene(0, (bus, ))).frame(0.).labels
    columns = np.flatnonzero((labels == CLASSES.index('bus') + 1).any(0))
    assert 0 in columns and 255 in columns and not set(range(64, 192)) & set(columns)
    span = 2 * np.degrees(np.arctan2(5.5, 6 - 1.25)) / 360 * 256
    assert len(columns) == pytest.approx(span, abs=3)


def test_the_picture_moves_with_the_sound():
    scene = Scene(3, (passing(distance=8.), ))
    camera = PanoramaCamera(scene)
    for t in (.5, 2., 3.5):
        columns = np.flatnonzero(camera.frame(t).labels.any(0))
        state = scene.state(t)[0]
        assert .5 - (columns.mean() + .5) / 256 == pytest.approx(state.azimuth / 360, abs=.012)


# ---------------------------------------------------------------------- files

HOW = Recording(seconds=2., size=(32, 64), fps=4, rate=8000)


def test_the_public_layout(tmp_path):
    assert write_omniaudio(tmp_path, 0, 2, HOW, workers=1)
    for index in (1, 2):
        folder = tmp_path / f'scene{index:04d}'
        tracks = sorted(folder.glob('*_Tr[1-8].WAV'))
        assert len(tracks) == 8
        sounds = np.stack([soundfile.read(t)[0] for t in tracks])
        assert sounds.shape == (8, 16000) and soundfile.info(tracks[0]).samplerate == 8000
        heard = hear(nth_scene(0, index, 2.), 2., 8000)
        for k, (left, right) in enumerate(EAR_PAIRS):
            np.testing.assert_allclose(sounds[[left - 1, right - 1]], heard[2 * k:2 * k + 2],
                                       atol=2**-14)
        with av.open(str(folder / f'VIDEO_{index:04d}_cropped.mp4')) as video:
            frames = [f.to_ndarray(format='bgr24') for f in video.decode(video=0)]
            assert float(video.streams.video[0].average_rate) == 4
        labels = np.load(folder / f'LABELS_{index:04d}.npz')['labels']
        assert len(frames) == len(labels) == 8 and labels.shape[1:] == frames[0].shape[:2]
        drawn = PanoramaCamera(nth_scene(0, index, 2.), HOW.size).frame(.5)
        assert np.abs(frames[2].astype(int) - drawn.image).mean() < 12
        np.testing.assert_array_equal(labels[2], drawn.labels)
    assert not write_omniaudio(tmp_path, 0, 2, HOW, workers=1)


def test_an_interrupted_scene_is_written_again_and_others_are_not_mixed(tmp_path, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr('multissl_mm.simulation.omniaudio.hear', lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_omniaudio(tmp_path, 0, 1, HOW, workers=1)
    assert not (tmp_path / 'scene0001').exists()
    assert not json.loads((tmp_path / 'manifest.json').read_text())['done']
    write_omniaudio(tmp_path, 0, 1, HOW, workers=1)
    assert (tmp_path / 'scene0001').exists() and not list(tmp_path.glob('.scene*'))
    with pytest.raises(MultiSSLError, match='manifest.json.*seed=0, not 1'):
        write_omniaudio(tmp_path, 1, 1, HOW, workers=1)
    with pytest.raises(MultiSSLError, match='rate=8000'):
        write_omniaudio(tmp_path, 0, 1, HOW._replace(rate=16000), workers=1)


def test_the_control_has_the_picture_and_the_ambience_but_no_vehicle(tmp_path):
    for name, vehicles in (('with', True), ('without', False)):
        write_scene(tmp_path / name, 0, HOW._replace(vehicles=vehicles), 1)
    paths = [tmp_path / name / 'scene0001' / 'LABELS_0001.npz' for name in ('with', 'without')]
    np.testing.assert_array_equal(*(np.load(p)['labels'] for p in paths))
    sound, _ = soundfile.read(tmp_path / 'without' / 'scene0001' / 'SCENE_0001_Tr3.WAV')
    expected = hear(replace(nth_scene(0, 1, 2.), vehicles=()), 2., 8000)[0]
    np.testing.assert_allclose(sound, expected, atol=2**-14)


@pytest.mark.parametrize('package, message', [
    ('av', r'the package av .*"multissl_mm\[video\]"'),
    ('slab', r'the package slab ships; .*"multissl_mm\[simulation\]"'),
])
def test_a_missing_package_is_named_with_its_extra(package, message, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'av', None if package == 'av' else av)
    monkeypatch.setattr(heads, 'find_spec',
                        lambda name: None if package == 'slab' else find_spec(name))
    kemar.cache_clear()
    with pytest.raises(MultiSSLError, match=message):
        write_omniaudio(tmp_path / 'out', 0, 1, HOW, workers=1)
    assert not (tmp_path / 'out').exists()


# ---------------------------------------------------------------------- slow

@pytest.mark.slow
def test_rendering_is_20_times_faster_than_listening():
    scene = nth_scene(0, 1, 60.)
    hear(scene, 2., RATE)
    took = []
    for _ in range(3):
        start = time.process_time()
        hear(scene, 60., RATE)
        took.append(time.process_time() - start)
    assert 60 / np.median(took) >= 20


def _clip(index):
    """Log-mel statistics of 2 s with one vehicle, level differences in 0.5 s, class, azimuth."""
    import torch
    from torchaudio.transforms import MelSpectrogram
    rng = np.random.default_rng(index)
    scene = nth_scene(77, index, 20.)
    moving = [v for v in scene.vehicles if v.moves]
    vehicle = moving[rng.integers(len(moving))]
    (x, y), (u, v) = vehicle.start, vehicle.velocity
    delay = -(x * u + y * v) / (u * u + v * v) - rng.uniform(1, 3)
    vehicle = replace(vehicle, start=(x + u * delay, y + v * delay), kind=CLASSES[index % 5])
    pair = int(rng.integers(4))
    sound = hear(replace(scene, vehicles=(vehicle, )), 4., RATE)[2 * pair:2 * pair + 2]
    mel = MelSpectrogram(RATE, 1024, hop_length=256, n_mels=48)

    def log_mel(start, stop):
        part = torch.from_numpy(np.ascontiguousarray(sound[:, int(start * RATE):int(stop * RATE)]))
        return torch.log(mel(part) + 1e-6)

    whole, short = log_mel(1, 3), log_mel(1.75, 2.25)
    features = torch.cat([whole.mean((0, 2)) - whole.mean(), whole.std(2).mean(0),
                          whole.mean(0).diff(dim=1).abs().mean(1)])
    azimuth = vehicle.rotated(90 * pair).state(2.).azimuth
    return features.numpy(), (short[0] - short[1]).mean(1).numpy(), index % 5, azimuth


@pytest.mark.slow
def test_a_listener_can_tell_the_classes_and_the_sides_apart():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    features, levels, kinds, azimuths = map(np.array, zip(*(_clip(i) for i in range(600))))
    train, test = slice(0, 450), slice(450, 600)  # scenes of their own

    def accuracy(x, y, keep=slice(None)):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000, C=.3))
        model.fit(x[train][keep if isinstance(keep, slice) else keep[train]],
                  y[train][keep if isinstance(keep, slice) else keep[train]])
        return model.score(x[test][keep if isinstance(keep, slice) else keep[test]],
                           y[test][keep if isinstance(keep, slice) else keep[test]])

    assert accuracy(features, kinds) >= .8
    beside = np.abs(np.sin(np.radians(azimuths))) > np.sin(np.radians(15))
    assert beside.mean() > .6
    assert accuracy(levels, azimuths > 0, beside) >= .95
