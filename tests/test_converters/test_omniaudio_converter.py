"""The converter of OmniAudio: what it makes of good scenes, and what it says of bad ones."""
import json
import os
import shutil
import sys

import av
import numpy as np
import pytest
import soundfile
import sounds
from commands import run_tool

from multissl_mm.converters.omniaudio import convert, convert_scene, video
from multissl_mm.errors import MultiSSLError
from multissl_mm.reproduce.store import folder_digest
from multissl_mm.simulation.omniaudio import write_omniaudio

HOW = sounds.CONVERTED
SHORT = sounds.HOW._replace(seconds=6.)


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    root = tmp_path_factory.mktemp('public')
    write_omniaudio(root, 5, 2, SHORT, workers=1)
    return root


@pytest.fixture
def root(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / 'public')


def wav(root, scene, track):
    return root / f'scene{scene:04d}' / f'SCENE_{scene:04d}_Tr{track}.WAV'


def converted(root, scene=1, how=HOW):
    return convert_scene(root, root.parent / 'out', how, scene)


def test_what_a_scene_becomes(root):
    entry = converted(root)
    assert entry['segments'] == [0., 2., 4.] and entry['pairs'] == [0, 1, 2, 3]
    assert entry['frames'] == 24 and entry['sample_rate'] == 4000 and entry['duration'] == 6
    folder = root.parent / 'out' / 'scene0001'
    arrays = {n: np.load(folder / f'{n}.npy', mmap_mode='r') for n in entry['arrays']}
    assert {n: (a.shape, a.dtype.str) for n, a in arrays.items()} == dict(
        frames=((24, 16, 64, 3), '|u1'), flow=((24, 16, 64, 2), '<f2'),
        masks=((24, 16, 64), '|u1'), labels=((24, 16, 64), '|u1'))
    with np.load(root / 'scene0001' / 'LABELS_0001.npz') as file:
        np.testing.assert_array_equal(arrays['labels'], file['labels'][:, 8:24])
    with av.open(str(root / 'scene0001' / 'VIDEO_0001_cropped.mp4')) as video:
        first = next(video.decode(video=0)).to_ndarray(format='rgb24')[8:24]
    assert np.abs(arrays['frames'][0].astype(int) - first).mean() < 1


def test_flow_is_pixels_per_stored_frame_and_crosses_the_seam():
    import cv2
    texture = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 255, (64, 256)), (0, 0), 2)
    texture = np.clip(texture * 3 + 128, 0, 255).astype(np.uint8)
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = video.flow_between(texture, np.roll(texture, 5, axis=1), dis)
    assert flow.shape == (64, 256, 2)
    for columns in (slice(8), slice(100, 150), slice(-8, None)):
        assert np.median(flow[:, columns, 0]) == pytest.approx(5, abs=.3)
    assert np.abs(np.median(flow[..., 1])) < .2


def test_steps_of_flow_add_up(root):
    """Half the frames, with flow in two steps: the same motion as all frames' flow summed."""
    all_frames = converted(root)
    every = np.load(root.parent / 'out' / 'scene0001' / 'flow.npy').astype(np.float32)
    half = converted(root, how=HOW._replace(fps=2., flow_steps=2))
    steps = np.load(root.parent / 'out' / 'scene0001' / 'flow.npy').astype(np.float32)
    assert half['frames'] == 12 and all_frames['frames'] == 24
    np.testing.assert_allclose(steps[1:], every[1:-1:2] + every[2::2], atol=.05)


def test_foreground_is_what_moves():
    frames = np.full((40, 16, 64, 3), 90, np.uint8)
    frames += np.random.default_rng(0).integers(0, 6, frames.shape, dtype=np.uint8)
    for i in range(40):
        frames[i, 4:10, i:i + 8] = 220
    masks = video.find_foreground(frames)
    truth = frames[..., 0] == 220
    assert (masks[truth] == 1).mean() > .9 and masks[~truth].mean() < .12


def test_silent_segments_are_skipped(root):
    for n in range(1, 9):
        sound, rate = soundfile.read(wav(root, 1, n))
        sound[2 * rate:4 * rate] *= 1e-3
        soundfile.write(wav(root, 1, n), sound, rate)
    assert converted(root, how=HOW._replace(silence=30.))['segments'] == [0., 4.]


def test_scenes_without_tracks_3_and_4(root):
    for n in (3, 4):
        wav(root, 1, n).unlink()
    assert converted(root)['pairs'] == [1, 2]


def test_a_full_disk_is_no_fault_of_a_scene(root, monkeypatch):
    """It was left out like one with damaged files, and the index went without it."""
    def full(path, array):
        path.touch()
        raise OSError('2304 requested and 0 written')  # NumPy's words

    monkeypatch.setattr(np, 'save', full)
    out = root.parent / 'out'
    with pytest.raises(MultiSSLError, match='scene0001: cannot be written .*0 written.* free'):
        convert(root, out, HOW, [1, 2], 1)
    assert not (out / 'index.json').exists() and not (out / '.scene0001.partial').exists()


def spoil_truncated(root):
    path = wav(root, 1, 5)
    path.write_bytes(path.read_bytes()[:30000])


def spoil_channels(root):
    soundfile.write(wav(root, 1, 5), np.zeros((24000, 2)), 4000)


def spoil_rate(root):
    soundfile.write(wav(root, 1, 5), np.zeros(48000), 8000)


def spoil_nan(root):
    sound = np.full(24000, .1, np.float32)
    sound[10000] = np.nan
    soundfile.write(wav(root, 1, 5), sound, 4000, subtype='FLOAT')


def spoil_unreadable(root):
    wav(root, 1, 5).write_text('no sound')


def spoil_missing(root):
    wav(root, 1, 5).unlink()


def spoil_video(root):
    path = root / 'scene0001' / 'VIDEO_0001_cropped.mp4'
    path.write_bytes(path.read_bytes()[:500])


def spoil_no_video(root):
    (root / 'scene0001' / 'VIDEO_0001_cropped.mp4').unlink()


def spoil_short_video(root):
    short = root.parent / 'short'
    write_omniaudio(short, 5, 1, SHORT._replace(seconds=3.), workers=1)
    shutil.copy(short / 'scene0001' / 'VIDEO_0001_cropped.mp4', root / 'scene0001')


def spoil_silence(root):
    for n in range(1, 9):
        soundfile.write(wav(root, 1, n), np.zeros(24000), 4000)


@pytest.mark.parametrize('spoil, message', [
    (spoil_truncated, '_Tr5.WAV lasts 3.74 s, other tracks 6.00 s: it was cut off'),
    (spoil_channels, '_Tr5.WAV has 2 channels; every track must be mono'),
    (spoil_rate, '_Tr5.WAV has 8000 Hz, the other tracks 4000'),
    (spoil_nan, '_Tr5.WAV has a sample that is not a number at 2.50 s'),
    (spoil_unreadable, '_Tr5.WAV cannot be read'),
    (spoil_missing, r'scene0001 has no \*_Tr5.WAV; restore'),
    (spoil_video, 'VIDEO_0001_cropped.mp4 cannot be decoded'),
    (spoil_no_video, 'has 0 files VIDEO_.*not one'),
    (spoil_short_video, 'cropped.mp4 lasts 3.00 s, the sound 6.00 s'),
    (spoil_silence, 'no segment of 2 s has any sound'),
])
def test_bad_files_are_named_and_nothing_is_left_of_their_scene(root, spoil, message):
    spoil(root)
    with pytest.raises(MultiSSLError, match=message):
        converted(root)
    out = root.parent / 'out'
    assert not out.exists() or not list(out.iterdir())


def test_the_command_goes_on_without_bad_scenes_and_resumes(root, tmp_path):
    spoil_nan(root)
    for n in (3, 4):
        wav(root, 2, n).unlink()
    out = tmp_path / 'out'
    (out / '.scene0002.partial').mkdir(parents=True)  # of an interrupted run
    (out / '.scene0002.partial' / 'flow.npy').write_text('half')
    done = run_tool('dataset_converters/omniaudio.py', root, out, '--size', 16, 64, '--workers', 1,
                    '--silence', 60)
    assert done.status == 0, done.err
    assert '1 scenes, 0.1 minutes, 3 segments' in done.out
    assert 'without the pairs front and left (tracks missing): scenes 2' in done.out
    assert '1 scenes are left out' in done.out and '_Tr5.WAV has a sample' in done.out
    assert sorted(p.name for p in out.iterdir()) == ['.lock', 'index.json', 'scene0002']
    index = json.loads((out / 'index.json').read_text())
    assert [s['scene'] for s in index['data_list']] == [2]
    assert (out / index['metainfo']['source'] / index['data_list'][0]['video']).is_file()

    before = (out / 'scene0002' / 'flow.npy').stat().st_mtime_ns
    good, bad, _ = convert(root, out, HOW._replace(flow_steps=2, rows=(0., 1.)), [1, 2], 1)
    assert (out / 'scene0002' / 'flow.npy').stat().st_mtime_ns == before  # not done again
    assert len(good) == 1 and set(bad) == {1}
    for n in (1, 2):
        wav(root, 2, n).write_text('no sound')
    shutil.rmtree(out / 'scene0002')
    with pytest.raises(MultiSSLError, match='none of the 2 scenes'):
        convert(root, out, HOW, [1, 2], 1)


def test_the_same_recordings_elsewhere_are_the_same_data(root, tmp_path):
    """Their times were in it, so that results copied to another machine were of other data."""
    def converted_in(folder, **options):
        out = folder / 'out'
        assert not convert(folder / 'public', out, HOW._replace(**options), [1], 1).bad
        return folder_digest(str(out / 'scene0001'))

    elsewhere = tmp_path / 'elsewhere'
    shutil.copytree(root, elsewhere / 'public', copy_function=shutil.copyfile)
    os.utime(wav(elsewhere / 'public', 1, 1), (1, 1))
    before = converted_in(root.parent)
    assert converted_in(elsewhere) == before
    with open(wav(elsewhere / 'public', 1, 1), 'r+b') as file:  # as long as before
        file.seek(5000)
        file.write(b'\1\2')
    assert converted_in(elsewhere) != before


def test_options_that_make_no_sense(root, tmp_path):
    for options in (dict(size=(16, 100)), dict(size=(0, 64)), dict(size=(16, 0)),
                    dict(rows=(.5, .5)), dict(flow_steps=0), dict(fps=0.)):
        with pytest.raises(MultiSSLError, match='--size needs a .* width that is a multiple of 64'):
            convert(root, tmp_path / 'out', HOW._replace(**options))
    with pytest.raises(MultiSSLError, match='no folders scene0001'):
        convert(tmp_path, tmp_path / 'out')


def test_without_av_the_extra_is_named(root, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'av', None)
    with pytest.raises(MultiSSLError, match=r'pip install "multissl_mm\[video\]"'):
        convert(root, tmp_path / 'out', HOW)
    assert not (tmp_path / 'out').exists()
