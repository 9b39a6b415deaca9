import sys
from pathlib import Path

import pytest
import torch
import yapf.yapflib.yapf_api
from mmengine.registry import DefaultScope, init_default_scope

sys.path.insert(0, str(Path(__file__).parent))
import sounds  # noqa: E402
import tiny  # noqa: E402

from multissl_mm.registry import MODELS  # noqa: E402

torch.set_num_threads(1)  # the models are too small for more
# Autograd looks once which devices there are. After a test with fake GPUs it would find one and
# start a thread for it, and no fork of this process could make a backward pass.
torch.ones((), requires_grad=True).backward()
# MMEngine writes its config into logs and every checkpoint, with line breaks by yapf: more than
# half of the time of a tiny run.
yapf.yapflib.yapf_api.FormatCode = lambda text, **kwargs: (text, False)


@pytest.fixture(scope='session')
def images(tmp_path_factory):
    """Folder of 24 pictures in ImageNet's layout."""
    return tiny.write_images(tmp_path_factory.mktemp('images'))


@pytest.fixture(scope='session')
def scenes(tmp_path_factory):
    """Three tiny scenes in OmniAudio's layout."""
    return sounds.write_scenes(tmp_path_factory.mktemp('scenes'))


@pytest.fixture
def scope():
    """Builds from config dicts as a run with our default scope does."""
    init_default_scope('mmpretrain')
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture
def registers():
    """What a test registers in MODELS is forgotten after it."""
    MODELS.import_from_location()
    before = dict(MODELS.module_dict)
    yield
    MODELS.module_dict.clear()
    MODELS.module_dict.update(before)
