"""Scenes as people have them: links, odd names, turned and damaged videos, dead microphones."""
import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context

import av
import numpy as np
import pytest
import soundfile
import sounds
from commands import run_tool

from multissl_mm.apis.panorama_pictures import read_panorama
from multissl_mm.converters.omniaudio import convert, convert_scene, find_scenes
from multissl_mm.converters.omniaudio.video import read_frames
from multissl_mm.datasets import OmniAudioDataset
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import lock
from multissl_mm.simulation.omniaudio import write_omniaudio

VIDEO = 'scene0001/VIDEO_0001_cropped.mp4'
RATE = 4000


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    root = tmp_path_factory.mktemp('public')
    write_omniaudio(root, 5, 1, sounds.HOW._replace(seconds=6.), workers=1)
    return root


@pytest.fixture
def root(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / 'public')


def converted(root):
    return convert_scene(root, root.parent / 'out', sounds.CONVERTED, 1)


def refused(root, message):
    with pytest.raises(MultiSSLError, match=message) as error:
        converted(root)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('change', [str.upper, str.lower])
def test_names_are_known_in_any_case_of_letters(root, change):
    for path in list((root / 'scene0001').iterdir()):
        path.rename(path.with_name(change(path.name)))
    entry = converted(root)
    assert entry['video'] == f'scene0001/{change("VIDEO_0001_cropped.mp4")}'
    assert 'labels' in entry['arrays'] and len(entry['tracks']) == 8


def write_video(path, times, fps=4):
    """Frames that are brighter on the left, shown at these times."""
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:16, :32] = 200
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('mpeg4', rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 32, 'yuv420p'
        for time in times:
            frame = av.VideoFrame.from_ndarray(picture, 'rgb24')
            frame.pts, frame.time_base = round(time * fps), Fraction(1, fps)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def turn(path, a, b, c, d):
    """Writes a display matrix into the header of the (only) track."""
    data = bytearray(path.read_bytes())
    at = data.index(b'tkhd') + 44
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 14], '>i4')
    matrix[[0, 1, 3, 4]] <<= 16
    data[at:at + 36] = matrix.tobytes()
    path.write_bytes(data)


def test_paths_are_right_through_links(root, tmp_path):
    """Row 4: '..' of a path through a link leads to where its target is."""
    (tmp_path / 'big' / 'deep').mkdir(parents=True)
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'data').symlink_to(tmp_path / 'big' / 'deep')
    (tmp_path / 'work' / 'linked').symlink_to(root)
    for source in (root, tmp_path / 'work' / 'linked'):
        out = tmp_path / 'work' / 'data' / source.name
        convert(source, out, sounds.CONVERTED)
        data = OmniAudioDataset(str(out), split=None)
        assert all(open(path, 'rb').read(4) == b'RIFF' for path in data[0]['tracks'].values())


def test_only_names_of_scenes_are_scenes(root):
    """Row 5: whatever is called like one is named, and neither read twice nor in the way."""
    others = ['Scene0003', 'scene0000_2', 'scene0001 (copy)', 'scene0001_old', 'scene1', 'scene2']
    for name in others:
        shutil.copytree(root / 'scene0001', root / name)
    (root / 'scene0004.zip').write_text('packed')
    (root / 'scene0001' / 'notes.txt').write_text('sunny')
    (root / '.scene0002.partial').mkdir()
    assert find_scenes(root) == [1]
    done = run_tool('dataset_converters/omniaudio.py', root, root.parent / 'out', '--size', 16, 64,
                    '--workers', 1, '--silence', 60)
    assert done.status == 0 and '1 scenes, 0.1 minutes' in done.out
    assert ('not read, since scenes are called scene0001, scene0002, ...: '
            f'{", ".join(others[:4])}, scene0004.zip, scene1, scene2\n') in done.out
    assert 'not read, neither video nor track: 1 .txt in the folders of scenes' in done.out
    shutil.rmtree(root / 'scene0001')
    with pytest.raises(MultiSSLError, match='no folders scene0001.*; there are Scene0003, scene00'):
        find_scenes(root)


def test_files_of_the_system_are_not_read(root):
    """Row 29: AppleDouble files beside those of the scene."""
    for path in list((root / 'scene0001').iterdir()):
        (path.parent / f'._{path.name}').write_bytes(b'\0\5\x16\7')
    converted(root)
    assert convert(root, root.parent / 'out', sounds.CONVERTED).ignored == []


@pytest.mark.parametrize('matrix, corner', [
    ((1, 0, 0, 1), (0, 0)), ((-1, 0, 0, -1), (1, 1)), ((0, 1, -1, 0), (0, 1)),
    ((0, -1, 1, 0), (1, 0))])
def test_pictures_are_turned_as_their_file_says(tmp_path, matrix, corner):
    """Row 7: as players turn them, for the converter and for a panorama to draw on."""
    path = tmp_path / 'turned.mp4'
    write_video(path, np.arange(4) / 4)
    turn(path, *matrix)
    found = [picture for _, picture in read_frames(path, 4)]
    assert len(found) == 4
    for picture in (found[0], read_panorama(path, .5)):
        assert picture.shape == ((32, 64, 3) if matrix[0] else (64, 32, 3))
        quarters = picture.reshape(2, picture.shape[0] // 2, 2, -1, 3).mean((1, 3, 4))
        assert np.unravel_index(quarters.argmax(), (2, 2)) == corner


@pytest.mark.parametrize('matrix', [(-1, 0, 0, 1), (1, 0, 0, -1), (1, 1, -1, 1), (0, 1, 1, 0)])
def test_mirrored_pictures_are_refused(root, matrix):
    turn(root / VIDEO, *matrix)
    refused(root, 'VIDEO_0001_cropped.mp4 is to be shown mirrored, or turned by no multiple of 90')


@pytest.mark.parametrize('times, message', [
    (np.arange(0, 60, .25), 'lasts 60.00 s, the sound 6.00 s'),  # row 8
    (1 + np.arange(0, 5, .25), 'has its first picture at 1.00 s, while the sound begins at 0'),
    (np.r_[0:2:.25, 4:6:.25], 'has no picture between 1.75 s and 4.00 s'),
])
def test_pictures_that_do_not_go_with_the_sound(root, times, message):
    (root / 'scene0001' / 'LABELS_0001.npz').unlink()  # of another video
    write_video(root / VIDEO, times)
    refused(root, f'VIDEO_0001_cropped.mp4 {message}')


@pytest.mark.parametrize('sound', ['zeros', 'constant', 'noise of its converter'])
def test_dead_microphones(root, sound):
    """Row 9."""
    samples = dict(zeros=np.zeros(6 * RATE), constant=np.full(6 * RATE, .1)).get(
        sound, np.random.default_rng(0).normal(0, 1e-5, 6 * RATE))
    for n, advice in ((5, 'restore it$'), (3, 'or remove it: a scene may lack this track')):
        path = root / 'scene0001' / f'SCENE_0001_Tr{n}.WAV'
        whole = path.read_bytes()
        soundfile.write(path, samples, RATE, subtype='FLOAT')
        refused(root, f'_Tr{n}.WAV is silent from beginning to end, other tracks .*{advice}')
        path.write_bytes(whole)


def test_a_recording_that_is_another_s(root):
    shutil.copy(root / 'scene0001' / 'SCENE_0001_Tr1.WAV', root / 'scene0001/SCENE_0001_Tr2.WAV')
    refused(root, 'SCENE_0001_Tr2.WAV is the same recording as SCENE_0001_Tr1.WAV; restore')


@pytest.mark.parametrize('tracks, dead', [([4], True), ([1, 4], True), (range(1, 9), False)])
def test_a_part_of_a_recording_without_sound(root, tracks, dead):
    """Zeros in all tracks are silence, and so are those of a moment."""
    for n in range(1, 9):
        path = root / 'scene0001' / f'SCENE_0001_Tr{n}.WAV'
        sound, _ = soundfile.read(path)
        sound[-RATE:] = 0
        if n in tracks:
            sound[2 * RATE:] = 0
        soundfile.write(path, sound, RATE, subtype='FLOAT')
    if dead:
        refused(root, f'_Tr{tracks[0]}.WAV has no sound at all from 2 s to 5 s, while other tracks')
    else:
        assert converted(root)['segments'] == [0.]


@pytest.mark.parametrize('again', [shutil.copytree, lambda a, b: b.symlink_to(a)])
def test_a_scene_that_is_another_s(root, again):
    again(root / 'scene0001', root / 'scene0008')
    found = convert(root, root.parent / 'out', sounds.CONVERTED)
    assert [entry['scene'] for entry in found.good] == [1]
    assert 'scene0008/VIDEO_0001_cropped.mp4 and its recordings are those of scene 1 again' in \
        found.bad[8]


def test_more_frames_than_a_video_has(root):
    with pytest.raises(MultiSSLError, match='cropped.mp4 has 4 frames per second, fewer than --fps '
                       '1000; give at most 4'):
        convert_scene(root, root.parent / 'out', sounds.CONVERTED._replace(fps=1000.), 1)


@pytest.mark.parametrize('shape', [(20, 32, 64), (32, 64)])
def test_labels_of_another_video(root, shape):
    np.savez(root / 'scene0001' / 'LABELS_0001.npz', labels=np.ones(shape, np.uint8))
    refused(root, 'VIDEO_0001_cropped.mp4 has 24 frames at least, but its labels are ')


def test_a_video_without_pictures(root):
    """Row 30."""
    with av.open(str(root / VIDEO), 'w') as file:
        stream = file.add_stream('aac', rate=44100)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), 'fltp', 'mono')
            frame.sample_rate = 44100
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    refused(root, 'VIDEO_0001_cropped.mp4 has no pictures in it, only audio')
    with pytest.raises(MultiSSLError, match='has no pictures in it'):
        read_panorama(root / VIDEO, 0.)


def test_files_where_folders_are_to_be_written(root, tmp_path):
    """Row 40."""
    (tmp_path / 'taken').write_text('a file')
    (tmp_path / 'dead').symlink_to(tmp_path / 'nowhere')
    for name, what in (('taken', 'a file'), ('dead', 'a link to nothing')):
        for out in (tmp_path / name, tmp_path / name / 'below'):
            with pytest.raises(MultiSSLError, match=f'{name} is {what}, where a folder is to'):
                convert(root, out, sounds.CONVERTED)
            with pytest.raises(MultiSSLError, match=f'{name} is {what}, where a folder is to'):
                write_omniaudio(out, 0, 1, sounds.HOW, 1)
    assert json.loads((root / 'manifest.json').read_text())['done']


def test_two_at_once(tmp_path, monkeypatch, capfd):
    """They shared a folder of what was half written, and could take it for a scene."""
    fork, owner = get_context('fork'), lock._owner
    waiting = fork.Barrier(3)

    def met(file):  # called by who waits
        waiting.wait(100)
        return owner(file)

    def both(work, folder):
        with ProcessPoolExecutor(2, fork) as pool, lock.one_writer(folder):
            found = pool.map(work, (tmp_path, tmp_path))
            waiting.wait(100)  # both wait for this process, and then one for the other
        return list(found)

    monkeypatch.setattr(lock, '_owner', met)
    assert sorted(both(_simulated, tmp_path / 'public')) == [False, True]
    assert both(_converted, tmp_path / 'out') == [[1], [1]]
    assert capfd.readouterr().out.count(f'waits for process {os.getpid()} on') == 4
    for path in (tmp_path / 'public' / 'scene0001', tmp_path / 'out' / 'scene0001'):
        assert sorted(p.name for p in path.parent.iterdir() if p.is_dir()) == [path.name]
        assert len(list(path.iterdir())) >= 5


def _simulated(folder):
    return write_omniaudio(folder / 'public', 0, 1, sounds.HOW._replace(seconds=6.), 1)


def _converted(folder):
    return [e['scene'] for e in convert(folder / 'public', folder / 'out', sounds.CONVERTED).good]
