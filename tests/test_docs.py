"""What the documentation says is so: links, names of files and commands, and its code."""
import ast
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Dict, List

import pytest
import tiny
import yaml
from mmengine.config import Config

import multissl_mm
from multissl_mm.registry import MODELS

ROOT = tiny.CONFIGS.parent
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').rglob('*.md'))]
BLOCK = re.compile(r'(<!-- not run: .+ -->\n+)?^```python.*?\n(.*?)^```$', re.M | re.S)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def public(path: Path) -> List[str]:
    """Full names of the public classes and functions of a module."""
    module = '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
    return [f'{module}.{node.name}' for node in ast.parse(path.read_text()).body
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name[0] != '_']


def test_builds_strictly_and_refers_to_everything_public(tmp_path):
    """Links, anchors and names in docstrings resolve; no public class or function is left out."""
    pytest.importorskip('mkdocs')
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '-d', tmp_path / 'site'],
        cwd=ROOT, env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    inventory = (tmp_path / 'site' / 'objects.inv').read_bytes().split(b'\n', 4)[4]
    known = {line.split()[0] for line in zlib.decompress(inventory).decode().splitlines()}
    everything = {n for p in (ROOT / 'multissl_mm').rglob('*.py') for n in public(p)}
    assert {n for n in everything - known if '__main__' not in n} == set()
    # Nothing is fetched from elsewhere when a page is opened.
    page = (tmp_path / 'site' / 'index.html').read_text()
    assert not re.findall(r'<(?:script|link)[^>]+(?:src|href)="https?://[^"]+\.(?:js|css)', page)


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_files_and_commands_exist(page):
    text = page.read_text()
    folders = 'configs|docs|examples|multissl_mm|requirements|tests|tools'
    paths = re.findall(rf'(?<![\w/.<:-])((?:{folders})/[\w./-]*\w|\.ci/run)', text)
    assert [p for p in paths if not (ROOT / p).exists()] == []
    targets = set(re.findall(r'^([a-z0-9-]+):', (ROOT / 'Makefile').read_text(), re.M))
    code = re.findall(r'^```\n(.*?)^```', text, re.M | re.S) + re.findall(r'`(make .*?)`', text)
    asked = {target for part in code for line in re.findall(r'^make ([a-z0-9 -]+)', part, re.M)
             for target in line.split()}
    assert asked - targets == set()


@pytest.mark.parametrize('page', PAGES[:2], ids=name)
def test_links_outside_docs_resolve(page):
    """Those inside are mkdocs' to check."""
    links = re.findall(r'\]\(([^)#]+)', page.read_text())
    assert [x for x in links if '://' not in x and not (page.parent / x).exists()] == []


@pytest.mark.parametrize('page', [
    page for page in PAGES if BLOCK.search(page.read_text()) and
    page.stem != 'add_a_pretext_task'  # whose files test_tutorials/ writes and trains with
], ids=name)
def test_code_blocks_run(page, tmp_path, monkeypatch, scope, registers):
    """The blocks of a page run one after the other, as a reader would type them."""
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    monkeypatch.chdir(tmp_path)
    namespace: Dict[str, object] = {'__name__': '__main__'}
    for not_run, code in BLOCK.findall(page.read_text()):
        if not not_run and '\n_base_ = ' not in f'\n{code}':  # a config
            exec(compile(code, name(page), 'exec'), namespace)


def test_configs_of_the_readme_can_be_built(tmp_path, monkeypatch, scope):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r'^```python title="(.+?)"\n(.*?)^```$', (ROOT / 'README.md').read_text(),
                        re.M | re.S)
    assert len(blocks) == 2
    for file, code in blocks:
        (tmp_path / file).write_text(code)
        model = MODELS.build(Config.fromfile(tmp_path / file).model)
        assert list(model.tasks) == ['simclr', 'densecl']


def test_walks_name_what_there_is():
    """Files and functions of the tables of docs/architecture.md."""
    text = (ROOT / 'docs' / 'architecture.md').read_text()
    steps = re.findall(r'^\| \d+ \| (.+?) \|', text, re.M)
    assert len(steps) > 10
    for step in steps:
        code = ''
        for word in re.findall(r'`(.+?)`', step):
            if '<' in word:  # any task
                word = 'models/pretext/base.py'
            if word.endswith('.py'):
                code = (ROOT / 'multissl_mm' / word).read_text()
            elif code:
                for name in word.split('.'):
                    assert re.search(rf'\b(def|class) {name}\b', code), f'{step}: {name}'


def test_citation_names_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == multissl_mm.__version__


def test_configs_that_keep_old_tasks_name_what_speaks_for_it():
    """In words of their own, with the page that has the numbers."""
    paths = [path for folder in ('', 'sound') for name in ('il*_*.py', 'rehearsal_*.py')
             for path in (tiny.CONFIGS / folder).glob(name)]
    assert len(paths) > 10
    for path in paths:
        said = ast.get_docstring(ast.parse(path.read_text())) or ''
        page = f'docs/results/{"sound" if path.parent.name == "sound" else "pictures"}.md'
        # Of M from elsewhere all is as with M from here.
        assert page in said or 'otherwise as il_mocov2_densecl.py' in said, path
