"""A second head and recorded vehicles, on a tiny script and tiny recordings that are made here."""
import base64
import io
import json

import numpy as np
import pytest
import soundfile
import tiny

from multissl_mm.converters.recordings import gather_recordings, wavs_in
from multissl_mm.datasets.classes import CLASSES
from multissl_mm.errors import MultiSSLError
from multissl_mm.simulation import Scene, Vehicle, heads
from multissl_mm.simulation.engines import vehicle_sound
from multissl_mm.simulation.heads import KEMAR, horizontal_harmonics, impulse_responses
from multissl_mm.simulation.hearing import Ears, hear
from multissl_mm.simulation.omniaudio import Recording, write_omniaudio
from multissl_mm.simulation.recordings import lengthened, recorded_sound

RATE = 8000
REAL = tiny.CONFIGS.parent / 'data' / 'evidence'


def wav(sound, rate=RATE):
    file = io.BytesIO()
    soundfile.write(file, np.asarray(sound), rate, format='WAV', subtype='PCM_16')
    return file.getvalue()


@pytest.fixture
def script(tmp_path):
    """Two cardioids, to the left and to the right, and all higher harmonics silent."""
    filters = np.zeros((16, 64))
    filters[0, 20], filters[1, 20] = .4, .4
    pairs = ''.join(f'\n"{base64.b64encode(wav(filters[k:k + 2].T)).decode()}",'
                    for k in range(0, 16, 2))
    path = tmp_path / 'omnitone.esm.js'
    path.write_text(f'const OmnitoneTOAHrirBase64 = [{pairs}\n];\nconst Other = ["AAAA"];')
    return str(path)


def test_harmonics_are_orthogonal_around():
    around = np.radians(np.arange(0, 360, 5))
    waves = horizontal_harmonics(around)
    assert waves.shape == (72, 16) and np.allclose(waves[:, 0], 1)
    np.testing.assert_allclose(waves[18, [1, 3]], [1, 0], atol=1e-12)  # at the left
    # Azimuth a and -a differ in the harmonics of negative degree alone, by their signs.
    odd = [n * n + n + m for n in range(4) for m in range(-n, 0)]
    mirrored = horizontal_harmonics(-around)
    np.testing.assert_allclose(mirrored[:, odd], -waves[:, odd], atol=1e-12)
    even = [k for k in range(16) if k not in odd]
    np.testing.assert_allclose(mirrored[:, even], waves[:, even], atol=1e-12)
    # N3D is SN3D times the root of 2 n + 1; over the sphere its squares have a mean of one. At the
    # horizon, the sum of the squares of an order of SN3D is one.
    for n in range(4):
        np.testing.assert_allclose((waves[:, n * n:(n + 1)**2]**2).sum(1), 1, atol=1e-12)


def test_a_head_of_harmonics(script):
    taps = impulse_responses(script, RATE)
    assert taps.shape == (72, 64, 2)
    assert (taps**2).sum(1).mean() == pytest.approx(1, rel=1e-5)
    left, right = (taps[18, :, ear] for ear in (0, 1))  # from the left
    assert np.abs(left).max() > 100 * np.abs(right).max()
    np.testing.assert_allclose(taps[0, :, 0], taps[0, :, 1], atol=1e-6)
    np.testing.assert_allclose(taps[6, :, 0], taps[66, :, 1], atol=1e-6)  # 30 and -30 degrees
    ears = Ears(800, RATE, script)
    ears.add(np.random.default_rng(0).standard_normal(800).astype(np.float32), np.float64(-90.))
    heard = ears.heard()
    assert heard[1].std() > 50 * heard[0].std()  # the pair that looks ahead
    assert heard[2].std() == pytest.approx(heard[3].std(), rel=1e-3)  # the one turned to it


@pytest.mark.parametrize('content, text', [
    (None, 'no such head'), ('const OmnitoneTOAHrirBase64 = ["AAAA"];', 'third-order filters')])
def test_what_is_no_head_is_refused(tmp_path, content, text):
    path = tmp_path / 'omnitone.js'
    if content:
        path.write_text(content)
    with pytest.raises(MultiSSLError, match=text):
        impulse_responses(str(path), RATE)


@pytest.mark.skipif(not (REAL / 'omnitone').is_dir(),
                    reason='tools/evidence/fetch.sh head has not been run')
def test_the_real_second_head_is_a_head():
    path = str(REAL / 'omnitone' / 'build' / 'omnitone.esm.js')
    table = heads.cues(path)
    kemar = heads.cues(KEMAR)
    assert .6 < table.lead[18] < .85 and 4 < table.level[18] < 15  # ms, dB, at the left
    assert abs(table.lead[0]) < .02 and abs(table.level[0]) < .1
    np.testing.assert_allclose(table.lead[1:], -table.lead[:0:-1], atol=.02)
    assert np.corrcoef(table.lead, kemar.lead)[0, 1] > .99
    assert np.corrcoef(table.level, kemar.level)[0, 1] > .9


# ---------------------------------------------------------------------- recordings

@pytest.fixture
def folder(tmp_path):
    """A tone for each class, of one second, at another rate, in stereo."""
    t = np.arange(11025) / 11025
    for k, kind in enumerate(CLASSES):
        path = tmp_path / 'recordings' / kind / 'a.wav'
        path.parent.mkdir(parents=True)
        tone = .3 * np.sin(2 * np.pi * 300 * (k + 1) * t)
        path.write_bytes(wav(np.stack([tone, tone], 1), 11025))
    return str(tmp_path / 'recordings')


def passing(kind, look=3):
    return Vehicle(kind, (4., 2., 2.), (6., -20.), (0., 10.), np.pi / 2, look)


def pitch(sound):
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 16))
    return spectrum.argmax() * RATE / (1 << 16)


def test_vehicles_sound_as_recorded_and_as_loud_as_simulated(folder):
    for k, kind in enumerate(CLASSES):
        sound = recorded_sound(folder, passing(kind), 3., RATE)
        assert sound.shape == (3 * RATE, ) and sound.dtype == np.float32
        assert pitch(sound) == pytest.approx(300 * (k + 1), rel=.08)  # its pace differs
        assert sound.std() == pytest.approx(vehicle_sound(passing(kind), 3., RATE).std(), rel=.01)
        assert (sound == recorded_sound(folder, passing(kind), 3., RATE)).all()
    assert (sound != recorded_sound(folder, passing(kind, 4), 3., RATE)).any()


def test_a_loop_goes_round_and_pieces_fade_over():
    rng = np.random.default_rng(0)
    loop = lengthened(rng, np.arange(1000.), 2500, RATE)
    assert set(np.diff(loop)) == {1., -999.}
    noise = rng.standard_normal(5 * RATE).astype(np.float32)
    long = lengthened(rng, noise, 20 * RATE, RATE)
    levels = long.reshape(-1, RATE // 2).std(1)
    assert long.shape == (20 * RATE, ) and levels.min() > .9 and levels.max() < 1.1


def test_the_scene_is_heard_by_the_other_head_with_recordings(script, folder, tmp_path):
    scene = Scene(3, (passing('tram'), ))
    plain = hear(scene, 4., RATE)
    other = hear(scene, 4., RATE, head=script, recordings=folder, place=False)
    assert other.shape == plain.shape
    assert pitch(other[0] + other[1]) == pytest.approx(900, rel=.1)
    how = Recording(2., (32, 64), 4, RATE, head=script, recordings=folder)
    assert write_omniaudio(tmp_path / 'out', 0, 1, how, workers=1)
    said = json.loads((tmp_path / 'out' / 'manifest.json').read_text())
    assert said['head'].startswith('omnitone.esm.js ') and len(said['recordings']) == 16
    assert str(tmp_path) not in json.dumps(said)
    assert not write_omniaudio(tmp_path / 'out', 0, 1, how, workers=1)
    with pytest.raises(MultiSSLError, match='recordings='):
        write_omniaudio(tmp_path / 'out', 0, 1, how._replace(recordings=None), workers=1)


def test_a_class_without_recordings_is_named(folder, tmp_path):
    (tmp_path / 'recordings' / 'tram' / 'a.wav').unlink()
    how = Recording(2., (32, 64), 4, RATE, recordings=folder)
    with pytest.raises(MultiSSLError, match=r'tram holds no recording'):
        write_omniaudio(tmp_path / 'out', 0, 1, how, workers=1)
    assert not (tmp_path / 'out').exists()


def test_sounds_inside_other_files(tmp_path, monkeypatch):
    sounds = [wav([.1, .2]), wav([]), wav([.3])]
    held = b'index RIFF of nothing' + sounds[0] + b'name' + sounds[1] + sounds[2] + b'RIFF'
    assert list(wavs_in(held)) == sounds
    sources = {kind: ('a/x.cat#2', 'a/y.wav') for kind in CLASSES}
    monkeypatch.setattr('multissl_mm.converters.recordings.SOURCES', sources)
    with pytest.raises(MultiSSLError, match='fetch.sh recordings'):
        gather_recordings(tmp_path, tmp_path / 'out')
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'x.cat').write_bytes(held)
    (tmp_path / 'a' / 'y.wav').write_bytes(sounds[0])
    found = gather_recordings(tmp_path, tmp_path / 'out')
    assert [p.name for p in found['car']] == ['00_x_2.wav', '01_y.wav']
    assert found['car'][0].read_bytes() == sounds[2]
    (tmp_path / 'a' / 'x.cat').write_bytes(sounds[0])
    with pytest.raises(MultiSSLError, match='holds 1 sounds, but not number 2'):
        gather_recordings(tmp_path, tmp_path / 'out')
