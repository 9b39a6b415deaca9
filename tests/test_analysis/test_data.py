"""Looking at data sets: what a model is given of them, and whether every file can be read."""
import json
import shutil

import numpy as np
import pytest
import soundfile
import sounds
import tiny
import torch
from commands import run_tool
from mmengine.config import Config
from PIL import Image

from multissl_mm.analysis import browse, verify_dataset
from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.images import read_image

BROWSE, VERIFY = (f'analysis_tools/{name}_dataset.py' for name in ('browse', 'verify'))


def drawn(cfg, tmp_path, monkeypatch, **how):
    """Rows of what is drawn: captions, and pictures by their titles."""
    figures = []
    monkeypatch.setattr(browse, 'save_figure', lambda figure, out: figures.append(figure))
    browse.browse_dataset(cfg, tmp_path / 'x.png', **how)
    return [(row.get_suptitle(), {axis.get_title(): axis.images[0].get_array()
                                  for axis in row.axes}) for row in figures[0].subfigs]


def test_the_views_that_a_model_is_given(images, tmp_path, monkeypatch):
    cfg = tiny.tiny_config('mocov2', images, tmp_path)
    rows = drawn(cfg, tmp_path, monkeypatch, count=2, first=3)
    assert [caption for caption, _ in rows] == ['3: 0003.JPEG', '4: 0004.JPEG']
    for caption, panels in rows:
        assert list(panels) == ['file', 'query', 'key']
        file = read_image(images / 'train' / 'n00000000' / caption[3:])
        np.testing.assert_array_equal(panels['file'], file)
        assert panels['query'].shape == (32, 32, 3) and panels['query'].dtype == np.uint8
        assert (panels['query'] != panels['key']).any() and panels['query'].std() > 2
    again = drawn(cfg, tmp_path, monkeypatch, count=1, first=3)[0][1]['query']
    other = drawn(cfg, tmp_path, monkeypatch, count=1, first=3, epoch=1)[0][1]['query']
    assert (again == rows[0][1]['query']).all() and (again != other).any()


def test_the_sounds_and_panoramas_that_a_model_is_given(scenes, tmp_path, monkeypatch):
    cfg = sounds.sound_config('il_b_c_a', scenes, tmp_path)
    caption, panels = drawn(cfg, tmp_path, monkeypatch, count=1)[0]
    assert caption.startswith('0: scene 1 at ') and 'pair, gap 0.' in caption
    assert [title.partition(',')[0] for title in panels] == [
        'frames', 'clip', 'clip', 'other', 'other', 'flow']
    assert panels['frames'].shape == (16, 64, 3) and panels['clip, left ear'].shape[0] == 32
    assert panels['frames'].std() > 10
    cfg = sounds.downstream_config('sp', scenes, tmp_path, sounds.sound_config(
        'b', scenes, tmp_path).model.backbone)
    panels = drawn(cfg, tmp_path, monkeypatch, count=1, split='val')[0][1]
    assert panels['semantics'].shape == (16, 64, 3)


def test_flow_to_the_right_is_red_and_faster_is_brighter():
    flow = torch.zeros(2, 1, 4)
    flow[0] = torch.tensor([0., 1., 2., -2.])
    still, slow, fast, back = browse.flow_colours(flow)[0].astype(int)
    assert still.max() == 0 and slow.argmax() == fast.argmax() == 0 and fast[0] > slow[0] > 100
    assert back.argmin() == 0 and back.max() > 200  # cyan


def test_browsing_from_the_command_line(images, tmp_path):
    tiny.tiny_config('mocov2', images, tmp_path).dump(tmp_path / 'c.py')
    done = run_tool(BROWSE, tmp_path / 'c.py', '--count', 1, '--out', tmp_path / 'new' / 'a.png')
    assert done.status == 0 and Image.open(tmp_path / 'new' / 'a.png').width > 300, done.err
    for options, message in ((['--split', 'val'], 'c.py has no val_dataloader'),
                             (['--first', 24], 'there is no sample 24, it has 24'),
                             (['--first', -3], '--first is -3; give a number from 0 on'),
                             (['--epoch', -1], '--epoch is -1; give a number from 0 on'),
                             (['--count', 0], '--count is 0; give a number from 1 on')):
        done = run_tool(BROWSE, tmp_path / 'c.py', *options)
        assert done.status and message in done.err


def test_browsing_a_damaged_picture_with_a_loader_of_others(images, tmp_path):
    root = shutil.copytree(images, tmp_path / 'images')
    (root / 'train' / 'n00000000' / '0001.JPEG').write_text('no picture')
    cfg = Config(dict(
        default_scope='mmpretrain', train_dataloader=dict(dataset=dict(
            type='CustomDataset', data_root=str(root), with_label=False,
            pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]))))
    with pytest.raises(MultiSSLError, match='0001.JPEG: cannot be read as an image'):
        browse.browse_dataset(cfg, tmp_path / 'x.png')


def test_every_row_has_a_grid_of_its_own():
    wide, narrow = (browse.Panel('', np.zeros((10, width, 3), np.uint8)) for width in (30, 10))
    figure = browse._draw([('a', [wide] * 9), ('b', [narrow] * 2)], '')
    figure.canvas.draw()
    widths = [[axis.get_position().width * row.bbox.width for axis in row.axes]
              for row in figure.subfigs]
    assert [len(row) for row in widths] == [7, 2, 2]
    assert max(widths[1]) < 1.2 * min(widths[0]) and max(widths[2]) < .5 * min(widths[0])


def test_the_bar_ends_full(images, capsys):
    verify_dataset(images, workers=1)
    assert '100%' in capsys.readouterr().err.splitlines()[-1]


def test_verifying_pictures(images, tmp_path):
    root = shutil.copytree(images, tmp_path / 'images')
    report = tmp_path / 'report.json'
    done = run_tool(VERIFY, root, '--out', report, '--workers', 1)
    assert done.status == 0 and done.out == '24 pictures\nno file is broken\n', done.err
    path = root / 'train' / 'n00000000' / '0007.JPEG'
    path.write_bytes(path.read_bytes()[:300])
    tiny.tiny_config('mocov2', root, tmp_path).dump(tmp_path / 'c.py')
    for data in (root, tmp_path / 'c.py'):
        done = run_tool(VERIFY, data, '--out', report, '--workers', 1)
        assert done.status == 1 and '23 pictures\n1 files are broken (1 .jpeg):\n' in done.out
        assert f'  {path}: cannot be read as an image (' in done.out
        assert list(json.loads(report.read_text())['broken']) == [str(path)]
    assert run_tool(VERIFY, tmp_path / 'none.py').err.endswith(
        'no such config, and no such folder\n')
    with pytest.raises(MultiSSLError, match='has no dataloader of val'):
        verify_dataset(tiny.tiny_config('mocov2', root, tmp_path), ['val'])


def test_verifying_sounds(scenes, tmp_path):
    root = shutil.copytree(scenes.parent, tmp_path / 'all')
    sounds.sound_config('b', root / 'converted', tmp_path).dump(tmp_path / 'c.py')
    done = run_tool(VERIFY, tmp_path / 'c.py', '--workers', 1)
    assert done.status == 0 and done.out == '8 arrays\n16 recordings\nno file is broken\n', done.err
    wav = root / 'omniaudio' / 'scene0001' / 'SCENE_0001_Tr2.WAV'
    sound, rate = soundfile.read(wav)
    soundfile.write(wav, sound[:20 * rate], rate)
    flow = np.load(root / 'converted' / 'scene0002' / 'flow.npy')
    flow[3, 2, 1] = np.nan
    np.save(root / 'converted' / 'scene0002' / 'flow.npy', flow)
    (root / 'converted' / 'scene0002' / 'masks.npy').write_bytes(b'no array')
    done = run_tool(VERIFY, tmp_path / 'c.py', '--workers', 1)
    assert done.status == 1 and '3 files are broken (2 .npy, 1 .wav)' in done.out
    for message in ('_Tr2.WAV ends after 20.00 s, the index says 24.00 s',
                    'flow.npy has a value that is not finite', 'masks.npy: cannot be read ('):
        assert message in done.out
