"""tools/evidence/fetch.sh, with clients of registries that only say what they were asked for."""
import os
import subprocess

import pytest
import tiny

ROOT = tiny.CONFIGS.parent
CLIENTS = {
    'apt-get': 'for name; do :; done; touch "${name}_1.deb"',
    'dpkg-deb': 'mkdir -p "$3/usr"',
    'npm': 'mkdir -p package/build; touch package/build/omnitone.esm.js; '
           'tar czf omnitone-1.3.0.tgz package',
}


@pytest.fixture
def fetch(tmp_path):
    log = tmp_path / 'asked'
    for name, does in CLIENTS.items():
        fake = tmp_path / 'bin' / name
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(f'#!/bin/sh\necho "{name} $*" >> {log}\n{does}\n')
        fake.chmod(0o755)
    log.touch()

    def run(*parts):
        env = {**os.environ, 'PATH': f'{tmp_path / "bin"}:{os.environ["PATH"]}',
               'EVIDENCE': str(tmp_path / 'evidence')}
        done = subprocess.run(['bash', 'tools/evidence/fetch.sh', *parts], cwd=ROOT, env=env,
                              capture_output=True, text=True)
        return done, log.read_text().splitlines()

    return run


def test_what_is_there_is_not_fetched_again(fetch, tmp_path):
    done, asked = fetch('products', 'head')
    assert done.returncode == 0, done.stderr
    assert [line.partition(' /')[0] for line in asked] == [
        'apt-get -qq download dataset-fashion-mnist', 'dpkg-deb -x dataset-fashion-mnist_1.deb',
        'npm pack --silent omnitone@1.3.0']
    assert (tmp_path / 'evidence' / 'omnitone' / 'build' / 'omnitone.esm.js').is_file()
    assert not any((tmp_path / 'evidence' / 'downloads').iterdir())
    assert fetch('products', 'head')[1] == asked


def test_an_interrupted_one_is_fetched_again(fetch, tmp_path):
    (tmp_path / 'bin' / 'dpkg-deb').write_text('#!/bin/sh\nexit 3\n')
    assert fetch('products')[0].returncode == 3
    assert len(fetch('products')[1]) == 2  # asked for twice


def test_other_parts_are_refused_before_anything_is_done(fetch, tmp_path):
    done, asked = fetch('head', 'heads')
    assert done.returncode == 2 and 'no such part: heads' in done.stderr and not asked
    assert not (tmp_path / 'evidence').exists()
