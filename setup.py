"""Package metadata; the environment that ``make`` uses is made by tools/setup_env.sh."""
import os
import os.path as osp
import re
import shutil
import sys
from typing import List

from setuptools import find_packages, setup

HERE = osp.dirname(osp.abspath(__file__))


def read(*path: str) -> str:
    with open(osp.join(HERE, *path), encoding='utf-8') as f:
        return f.read()


def requirements(name: str) -> List[str]:
    """Lines of ``requirements/<name>.txt`` without comments."""
    lines = (re.sub(r'(^|\s)#.*', '', line).strip()
             for line in read('requirements', f'{name}.txt').splitlines())
    return [line for line in lines if line]


def add_mim_extension() -> None:
    """Puts configs and tools where MIM looks for them, ``multissl_mm/.mim``, as OpenMMLab does.

    Linked for an editable install, copied for a distribution.
    """
    if {'develop', 'editable_wheel'} & set(sys.argv):
        link = True
    elif {'sdist', 'bdist_wheel', 'install'} & set(sys.argv):
        link = False
    else:
        return
    target = osp.join(HERE, 'multissl_mm', '.mim')
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(target)
    for name in ('configs', 'tools', 'model-index.yml'):
        source, dest = osp.join(HERE, name), osp.join(target, name)
        if not osp.exists(source):
            continue
        if link:
            os.symlink(osp.relpath(source, target), dest)
        elif osp.isdir(source):
            shutil.copytree(source, dest, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copyfile(source, dest)


if __name__ == '__main__':
    add_mim_extension()
    version = re.search(r"__version__ = '(.+)'", read('multissl_mm', 'version.py')).group(1)
    setup(
        name='multissl_mm',
        version=version,
        description='Multi-task and incremental self-supervised pretraining for OpenMMLab',
        long_description=read('README.md') if osp.exists(osp.join(HERE, 'README.md')) else '',
        long_description_content_type='text/markdown',
        license='Apache-2.0',
        packages=find_packages(include=['multissl_mm', 'multissl_mm.*']),
        include_package_data=True,
        python_requires='>=3.10',
        # torch and the mm packages are left to you: an environment that has them keeps them.
        install_requires=requirements('runtime'),
        extras_require=dict(
            mim=requirements('mminstall'),
            video=requirements('video'),
            simulation=requirements('video') + requirements('simulation'),
            tests=requirements('tests'),
            docs=requirements('docs'),
            optional=requirements('optional'),
        ),
        zip_safe=False)
