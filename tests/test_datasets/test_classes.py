"""The list of classes stands once."""
import re
from pathlib import Path

import pytest
import tiny
from mmengine.config import Config

import multissl_mm
from multissl_mm import simulation
from multissl_mm.datasets import CLASSES, OmniAudioDataset
from multissl_mm.evaluation import SemanticMetric

LIST = re.compile(r"""['"]bus['"],\s*['"]car['"],\s*['"]tram['"]""")


def test_the_package_has_it_in_one_file():
    root = Path(multissl_mm.__file__).parent
    found = [str(path.relative_to(root)) for path in sorted(root.rglob('*.py'))
             if LIST.search(path.read_text()) and '.mim' not in path.parts]
    assert found == ['datasets/classes.py']
    assert simulation.CLASSES is CLASSES is OmniAudioDataset.METAINFO['classes']
    assert SemanticMetric().classes == CLASSES


@pytest.mark.parametrize('name', ['supervised', 'mask-rcnn_r18_fpn_coco'])
def test_configs_of_other_datasets_name_the_same(name):
    """Those have lists of their own, and a config cannot import this one."""
    cfg = Config.fromfile(tiny.CONFIGS / 'demo' / f'{name}.py')
    dataset = cfg.train_dataloader.dataset
    assert tuple(dataset.get('dataset', dataset).metainfo.classes) == CLASSES
