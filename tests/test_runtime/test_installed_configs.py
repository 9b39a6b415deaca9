"""F1: every config of the installed packages can be tested and trained."""
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from commands import run_tool
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from multissl_mm import runtime
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import prepare

PACKAGES = ('mmpretrain', 'mmdet')


def installed(package):
    """Name and file of each of its configs."""
    spec = find_spec(package)
    if spec is None:
        pytest.skip(f'{package} is not installed')
    root = Path(spec.submodule_search_locations[0], '.mim', 'configs')
    return [(f'{package}::{path.relative_to(root)}', path) for path in sorted(root.rglob('*.py'))
            if '_base_' not in path.parts]


def look_at(name, work_dir):
    """Prepares a run of a config; says whether it can be tested."""
    cfg = runtime.load_config(name)
    text = cfg.to_dict()
    runtime.prepare_cfg(cfg, runtime.RunOptions(name, work_dir=work_dir))
    if not text.get('test_dataloader'):  # pretraining
        with pytest.raises(MultiSSLError, match='no test_dataloader'):
            runtime.test(runtime.RunOptions(name, work_dir=work_dir, checkpoint='x.pth'))
        return False
    options = runtime.RunOptions(name, work_dir=work_dir, checkpoint='x.pth')
    prepared = runtime.prepare_cfg(Config(text), options)
    assert prepared.load_from == 'x.pth'
    return True


@pytest.mark.parametrize('package', PACKAGES)
@pytest.mark.parametrize('every', [40, pytest.param(1, marks=[
    pytest.mark.faults, pytest.mark.timeout(900)])])
def test_all_are_accepted(package, every, tmp_path, monkeypatch):
    """As on a machine with a GPU and the data; the packages' own faults end in a sentence."""
    monkeypatch.setattr(prepare, 'check_data', lambda cfg, splits: None)
    monkeypatch.setattr(prepare, 'get_device', lambda: 'cuda')
    tested, refused = [], {}
    for name, path in installed(package)[::every]:
        try:
            tested += [name] * look_at(name, str(tmp_path))
        except MultiSSLError as error:
            refused[name] = error
            with pytest.raises(Exception) as theirs:  # MMEngine cannot read it either
                Config.fromfile(path)
            assert str(error).startswith(f'{name}: this config cannot be read: ')
            assert str(theirs.value) in str(error)
    print(f'{package}: {len(tested)} can be tested, refused {[str(e) for e in refused.values()]}')
    assert len(tested) >= 300 // every and len(refused) <= 1 + len(tested) // 50


def test_one_of_mmpretrain_is_tested(images, tmp_path):
    """From its name to its accuracy, and with nothing of ours in it."""
    name = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
    init_default_scope('mmpretrain')
    cfg = runtime.load_config(name)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'x.pth')
    listed = sorted(path.relative_to(images) for path in images.rglob('*.JPEG'))[:4]
    (tmp_path / 'val.txt').write_text(''.join(f'{path} 0\n' for path in listed))
    done = run_tool('test.py', name, tmp_path / 'x.pth', '--work-dir', tmp_path / 'work',
                    '--cfg-options', 'test_dataloader.num_workers=0',
                    f'test_dataloader.dataset.data_root={images}',
                    f'test_dataloader.dataset.ann_file={tmp_path / "val.txt"}',
                    'test_dataloader.dataset.split=')
    assert done.status == 0, done.err[-3000:]
    assert 'accuracy/top1: ' in done.out + done.err
