"""Which checkpoints and configs can be scored; a run of its stages is in test_sound_runs."""
from pathlib import Path

import pytest
import sounds
import tiny
from mmengine.config import Config
from PIL import Image

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.checkpoint_scores import held_out, score_checkpoints, scores_table


def test_what_cannot_be_scored(images, tmp_path):
    with pytest.raises(MultiSSLError, match='mocov2: contrast with a queue .* no score'):
        score_checkpoints(tiny.tiny_config('mocov2', images, tmp_path), ['random'])
    cfg = sounds.sound_config('b', tmp_path / 'gone', tmp_path)
    with pytest.raises(MultiSSLError, match='gone does not exist'):
        score_checkpoints(cfg, ['random'])


@pytest.fixture
def split_folder(tmp_path):
    for name in ('train/a.png', 'train/b.png', 'val/c.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new('RGB', (8, 8)).save(tmp_path / name)
    return dict(type='multissl_mm.PictureFolder', data_root=str(tmp_path), split='train',
                pipeline=[dict(type='multissl_mm.LoadImage')])


def of_split(dataset):
    cfg = Config(dict(train_dataloader=dict(dataset=dict(dataset=dataset))))
    data = held_out(cfg, 'val', 1, 4).dataset
    return [Path(data.get_data_info(i)['img_path']).name for i in range(len(data))]


def test_held_out_data_are_of_the_split_within_wrappers(split_folder):
    repeated = dict(type='RepeatDataset', times=2, dataset=split_folder)
    joined = dict(type='ConcatDataset', datasets=[split_folder, repeated])
    for dataset, times in ((split_folder, 1), (repeated, 2), (joined, 3)):
        assert of_split(dataset) == ['c.png'] * times
    assert split_folder['split'] == 'train'
    plain = {key: value for key, value in split_folder.items() if key != 'split'}
    with pytest.raises(MultiSSLError, match='multissl_mm.PictureFolder name no split'):
        of_split(dict(type='ConcatDataset', datasets=[split_folder, plain]))


def test_tasks_that_were_not_learned_have_no_score():
    table = scores_table(dict(stage1=dict(b=dict(top1=.5)),
                              last=dict(b=dict(top1=.25), c=dict(r=.75))))
    assert [column.header for column in table.columns] == ['', 'b top1', 'c r']
    assert [list(column.cells) for column in table.columns[1:]] == [
        ['0.500', '0.250'], ['-', '0.750']]
