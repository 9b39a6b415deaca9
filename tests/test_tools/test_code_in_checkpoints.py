"""F21: from whatever command a checkpoint is read, code in it is not run."""
import json
import os

import numpy as np
import pytest
import soundfile
import sounds
import tiny
import torch
from commands import run_tool
from mmengine.config import Config
from pictures import encoder_config, write_voc
from PIL import Image

from multissl_mm.utils.permissions import TRUST_CHECKPOINT


class Payload:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path), )


@pytest.fixture(scope='module')
def here(images, scenes, tmp_path_factory):
    """A folder with configs, data and a checkpoint that makes a folder `ran`."""
    here = tmp_path_factory.mktemp('here')
    tiny.tiny_config('mocov2', images, here / 'work').dump(here / 'mocov2.py')
    tiny.tiny_config('il_mocov2_densecl_from_stage1', images, here / 'work').dump(here / 'il.py')
    encoder_config().dump(here / 'encoder.py')
    Config(dict(model=dict(backbone=dict(
        type='multissl_mm.ConcatBackbone', encoders=[tiny.backbone()] * 2)),
        default_scope='mmpretrain')).dump(here / 'concat.py')
    sound = sounds.sound_config('b', scenes, here / 'work')
    sound.dump(here / 'b.py')
    sounds.downstream_config('sp', scenes, here / 'work', sound.model.backbone).dump(here / 'sp.py')
    write_voc(here / 'voc', 2)
    soundfile.write(here / 'a.wav', np.zeros((8000, 2)), 4000)
    (here / 'annotations').mkdir()
    (here / 'train2017').mkdir()
    Image.new('RGB', (32, 32)).save(here / 'train2017' / 'a.png')
    (here / 'classes').symlink_to(images / 'train')
    (here / 'annotations' / 'instances_train2017.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='a.png', width=32, height=32)],
        categories=[dict(id=1, name='car')],
        annotations=[dict(id=1, image_id=1, category_id=1, iscrowd=0, area=9, bbox=[1, 1, 3, 3],
                          segmentation=[[1, 1, 4, 1, 4, 4]])])))
    torch.save(dict(state_dict={'backbone.conv1.weight': torch.ones(1)},
                    meta=dict(epoch=1, iter=1), note=Payload(here / 'ran')), here / 'bad.pth')
    return here


COMMANDS = [
    'train.py mocov2.py --resume bad.pth', 'train.py mocov2.py --cfg-options load_from=bad.pth',
    'train.py mocov2.py --cfg-options model.backbone.init_cfg.type=Pretrained '
    'model.backbone.init_cfg.checkpoint=bad.pth',
    'train.py sp.py --cfg-options pretrained.config=b.py pretrained.checkpoint=bad.pth',
    'test.py sp.py bad.pth', 'model_converters/export_backbone.py bad.pth out.pth',
    'model_converters/concat_backbones.py concat.py out.pth bad.pth bad.pth',
    'model_converters/average_backbones.py mocov2.py out.pth bad.pth bad.pth',
    'model_converters/to_stage1.py il.py bad.pth out.pth',
    'benchmarks/voc07_svm.py encoder.py bad.pth --data-root voc',
    'benchmarks/linear_segmentation.py encoder.py bad.pth --data-root . --held-out train2017',
    'benchmarks/pretext_scores.py b.py bad.pth', 'infer_image.py encoder.py bad.pth train2017',
    'infer_sound.py b.py bad.pth a.wav',
    'analysis_tools/feature_map.py encoder.py bad.pth --data classes --out out.png']


@pytest.mark.parametrize('command', COMMANDS)
def test_no_command_runs_it(here, command, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.setenv('MASTER_ADDR', 'localhost')
    done = run_tool(*command.split())
    assert done.status == 1 and 'Traceback' not in done.err
    last = done.err.strip().splitlines()[-1]
    assert 'bad.pth: holds an object of posix.mkdir' in last and TRUST_CHECKPOINT.option in last
    assert not (here / 'ran').exists() and not (here / 'out.pth').exists()


def test_a_user_may_trust_it(here, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.setenv(TRUST_CHECKPOINT.variable, '')
    done = run_tool('model_converters/export_backbone.py', 'bad.pth', 'out.pth',
                    TRUST_CHECKPOINT.option)
    assert (here / 'ran').is_dir() and 'the keys are of no ResNet' in done.err
    (here / 'ran').rmdir()
