"""The package as others have it: a wheel, outside of a checkout."""
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import tiny
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils import project

ROOT = tiny.CONFIGS.parent
#: Of the checkout what a wheel is built from.
SOURCES = ('multissl_mm', 'configs', 'tools', 'requirements', 'setup.py', 'pyproject.toml',
           'MANIFEST.in', 'README.md', 'LICENSE', 'model-index.yml')

#: Imports every module, asks every tool for its help, and uses some of them.
CHECK = '''
import importlib, pkgutil, runpy, sys
from pathlib import Path
import torch
import multissl_mm
from multissl_mm.runtime import load_config
from multissl_mm.utils.project import project_file, project_folder

def run(path, *arguments):
    sys.argv = [str(path), *arguments]
    try:
        runpy.run_path(str(path), run_name='__main__')
    except SystemExit as stop:
        assert not stop.code, (path, stop.code)

site = Path(sys.argv[1])
assert Path(multissl_mm.__file__).is_relative_to(site), multissl_mm.__file__
for module in pkgutil.walk_packages(multissl_mm.__path__, 'multissl_mm.'):
    if not module.name.endswith('__main__'):
        importlib.import_module(module.name)

mim = site / 'multissl_mm' / '.mim'
assert project_folder() == mim and not Path('configs').exists()
tools = sorted((mim / 'tools').rglob('*.py'))
assert len(tools) > 12
for tool in tools:
    run(tool, '--help')
assert load_config(project_file('configs/il_mocov2_densecl.py')).model.type.endswith('Learning')

sys.argv = ['simulation', 'data/demo', '--imagenet', '4', '--size', '32', '--workers', '1']
runpy.run_module('multissl_mm.simulation', run_name='__main__')
from multissl_mm.registry import MODELS
torch.save(MODELS.build(dict(type='mmpretrain.ResNet', depth=18, base_channels=8)).state_dict(),
           'theirs.pth')
from multissl_mm.reproduce import write_report
write_report([], Path('report.html'), 'Nothing', 'yet')  # its template is there
run(mim / 'tools/model_converters/export_backbone.py', 'theirs.pth', 'backbone.pth', '--prefix', '')
'''


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """Folder that a wheel of this checkout is installed in."""
    source, site = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('site')
    for name in SOURCES:  # a copy, since building leaves its own folders
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name,
                            ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        else:
            shutil.copyfile(path, source / name)
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '--no-input']
    run(*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', source / 'dist', source)
    wheel, = (source / 'dist').glob('*.whl')
    run(*pip, 'install', '--no-deps', '--no-compile', '--target', site, wheel)
    return site


def run(*command: object, cwd: Path = Path('/'), **env: str) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, env={**os.environ, **env}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_a_wheel_works_without_the_checkout(site, tmp_path):
    """All modules, all tools, data, a conversion and a training, in an empty folder."""
    python = dict(cwd=tmp_path, PYTHONPATH=str(site), CUDA_VISIBLE_DEVICES='')
    run(sys.executable, '-c', CHECK, site, **python)
    assert (tmp_path / 'backbone.pth').is_file()
    config = site / 'multissl_mm/.mim/configs/demo/mocov2.py'
    run(sys.executable, site / 'multissl_mm/.mim/tools/train.py', config, '--work-dir', 'run',
        '--cfg-options', 'train_dataloader.batch_size=4', 'train_dataloader.num_workers=0',
        'train_cfg.max_epochs=1', 'default_hooks.checkpoint.interval=1', **python)
    assert list((tmp_path / 'run').glob('*.pth'))
    assert not [p for p in site.rglob('*') if p.name in ('work_dirs', 'data', 'run')]


def test_files_are_found_in_a_checkout_and_in_an_installed_package(tmp_path, monkeypatch):
    assert project.project_folder() == ROOT
    monkeypatch.chdir(ROOT)
    assert project.project_file('configs/mocov2.py') == 'configs/mocov2.py'  # as one would type it
    monkeypatch.chdir(tmp_path)
    assert project.project_file('configs/mocov2.py') == str(ROOT / 'configs/mocov2.py')
    monkeypatch.setattr(project, 'PACKAGE', tmp_path / 'multissl_mm')
    assert project.project_folder() == tmp_path / 'multissl_mm' / '.mim'
    with pytest.raises(MultiSSLError, match='tools/train.py: no such file; reinstall multissl_mm'):
        project.project_file('tools/train.py')


@pytest.mark.parametrize('version', ['3.10', '3.11', '3.12'])
def test_pins_can_be_had_on_every_python(version):
    """One that is too new for Python 3.10 is marked; the metadata of what is installed say it."""
    refused, known = [], 0
    for line in (ROOT / 'requirements' / 'pins.txt').read_text().splitlines():
        if '==' not in line or line.startswith('#'):
            continue
        pin = Requirement(line)
        with suppress(PackageNotFoundError):
            found = distribution(pin.name)
            needs = found.metadata.get('Requires-Python')
            if pin.specifier.contains(found.version) and (
                    pin.marker is None or pin.marker.evaluate(dict(python_version=version))):
                known += 1
                if needs and not SpecifierSet(needs).contains(f'{version}.99'):
                    refused.append(f'{line} needs Python {needs}')
    assert known and not refused
