"""Files are whole or not there: nobody writes under a final name, but for what is listed here."""
import ast
import errno
import os
import resource
import sys
from contextlib import contextmanager
from typing import Iterator, Set

import numpy as np
import pytest
import soundfile
import tiny
from matplotlib.figure import Figure

from multissl_mm.errors import MultiSSLError
from multissl_mm.reproduce import Steps
from multissl_mm.simulation.omniaudio import Recording, write_scene
from multissl_mm.utils import cli
from multissl_mm.utils.figures import save_figure
from multissl_mm.utils.files import atomic_path, write_atomically
from multissl_mm.utils.sounds import write_sound

ROOT = tiny.CONFIGS.parent
#: What writes to the file or folder that it is given.
WRITERS = {'write_text', 'write_bytes', 'savefig', 'imwrite', 'tofile', 'to_csv', 'to_json', 'save',
           'savez', 'savez_compressed', 'savetxt', 'save_file', 'dump', 'copyfile', 'copy2',
           'copytree', 'open_memmap', 'soundfile.write', 'shutil.copy', 'shutil.move'}
OPENERS = {'open', 'fdopen', 'ZipFile', 'SoundFile', 'File', 'memmap'}
#: File: writer -> why it may.
ALLOWED = {
    'multissl_mm/benchmarks/cost.py: dump': 'into a temporary folder',
    'multissl_mm/benchmarks/cost.py: open': 'into a temporary folder; how fast it is is measured',
    'multissl_mm/converters/omniaudio/scenes.py: save': 'a folder gets its name when it is whole',
    'multissl_mm/reproduce/steps.py: open': 'a log, which grows',
    'multissl_mm/runtime/lock.py: open': 'a lock, which is held open',
    'multissl_mm/runtime/logs.py: open': 'a log, whose torn line it ends',
    'multissl_mm/simulation/omniaudio.py: open': 'a folder gets its name when it is whole',
    'multissl_mm/simulation/omniaudio.py: savez_compressed': 'the same',
}


def called(node: ast.AST) -> str:
    """Name of what is called, with that of its module where the name alone says too little."""
    if not isinstance(node, ast.Call):
        return ''
    if isinstance(node.func, ast.Attribute):
        owner = node.func.value
        full = f'{owner.id if isinstance(owner, ast.Name) else ""}.{node.func.attr}'
        return full if full in WRITERS else node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ''


def opens_to_write(call: ast.Call) -> bool:
    modes = call.args[:2] + [keyword.value for keyword in call.keywords if keyword.arg == 'mode']
    values = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
    return any(isinstance(value, str) and set(value) <= set('rwaxbt+') and set(value) & set('wax+')
               for value in values)


def in_place(tree: ast.AST) -> Iterator[str]:
    """Writers that are called outside of an ``atomic_path`` and not with a buffer in memory."""
    buffers: Set[str] = {target.id for node in ast.walk(tree) if isinstance(node, ast.Assign)
                         and called(node.value) == 'BytesIO'
                         for target in node.targets if isinstance(target, ast.Name)}

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.With) and any(
                called(item.context_expr) == 'atomic_path' for item in node.items):
            return
        if isinstance(node, ast.Call):
            name = called(node)
            given = {arg.id for arg in node.args if isinstance(arg, ast.Name)}
            if (name in WRITERS and not given & buffers) or (
                    name in OPENERS and opens_to_write(node)):
                yield name
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    return visit(tree)


def test_nobody_writes_in_place():
    """Take ``write_atomically``, ``atomic_path``, ``save_figure``, ``write_sound``."""
    found = {f'{path.relative_to(ROOT)}: {name}' for folder in ('multissl_mm', 'tools')
             for path in sorted((ROOT / folder).rglob('*.py'))
             for name in in_place(ast.parse(path.read_text()))}
    assert sorted(found) == sorted(ALLOWED)


@pytest.mark.parametrize('line, name', [
    ("out.write_text('x')", 'write_text'), ("figure.savefig(out)", 'savefig'),
    ("soundfile.write(out, x, 1)", 'soundfile.write'), ("open(out, 'w')", 'open'),
    ("open(out, mode='a')", 'open'), ("out.open('wb')", 'open'), ("json.dump(x, f)", 'dump'),
    ("np.save(out, x)", 'save'), ("zipfile.ZipFile(out, 'w')", 'ZipFile'),
    ("with folder(out) as part:\n    part.write_bytes(x)", 'write_bytes'),
    ("open(out)", None), ("open(out, 'rb')", None), ("sys.stdout.write(x)", None),
    ("a.copy()", None), ("data = BytesIO()\ntorch.save(x, data)", None),
    ("with atomic_path(out) as part, open(part, 'wb') as f:\n    np.save(f, x)", None)])
def test_what_writes_in_place_is_seen(line, name):
    assert list(in_place(ast.parse(line))) == [name] * (name is not None)


# ---------------------------------------------------------------------- what the system refuses

@contextmanager
def full_disk(size: int = 1000) -> Iterator[None]:
    """The limit of a file's size is met at the same calls."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def picture() -> Figure:
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot(range(10))
    return figure


@pytest.mark.parametrize('name, write', [
    ('a.png', lambda path: save_figure(picture(), path)),
    ('a.svg', lambda path: save_figure(picture(), path)),
    ('a.wav', lambda path: write_sound(path, np.zeros((4000, 2)), 4000, 'FLOAT'))])
def test_pictures_and_sounds_are_whole_or_not_there(name, write, tmp_path):
    path = tmp_path / 'new' / name
    write(path)
    before = path.read_bytes()
    with full_disk(), pytest.raises(MultiSSLError, match=f'{name}: cannot be written .File too la'):
        write(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == [name]


def test_a_sound_is_what_soundfile_would_write(tmp_path):
    sound = np.random.default_rng(0).normal(0, .1, 4000)
    write_sound(tmp_path / 'a.WAV', sound, 8000)
    soundfile.write(tmp_path / 'b.wav', sound, 8000, subtype='PCM_16')
    assert (tmp_path / 'a.WAV').read_bytes() == (tmp_path / 'b.wav').read_bytes()


def test_a_picture_has_the_name_that_was_given(tmp_path):
    for name, message in (('a', 'a: a picture is to end with its format, one of .*.png'),
                          ('a.docx', 'one of .*.png')):
        with pytest.raises(MultiSSLError, match=message):
            save_figure(picture(), tmp_path / name)
    (tmp_path / 'b.png').mkdir()
    with pytest.raises(MultiSSLError, match='b.png: cannot be written .Is a directory'):
        save_figure(picture(), tmp_path / 'b.png')
    assert os.listdir(tmp_path) == ['b.png']
    save_figure(picture(), tmp_path / 'c.PNG')


@pytest.mark.parametrize('size', [1000, 20000])
def test_a_scene_is_whole_or_not_there(size, tmp_path):
    """The video does not fit, or the first sound."""
    how = Recording(seconds=2., size=(32, 64), fps=4, rate=8000)
    with full_disk(size), pytest.raises(MultiSSLError, match='cannot be written .File too large'):
        write_scene(tmp_path, 0, how, 1)
    assert os.listdir(tmp_path) == []


def test_a_log_that_cannot_grow_is_named(tmp_path):
    with full_disk(), pytest.raises(MultiSSLError, match='x.log: cannot be written .File too la'):
        Steps(tmp_path).run('a step', 'x', '-c', 'for i in range(1000): print(i)')


def test_a_name_that_no_file_can_have(tmp_path):
    (tmp_path / 'file').touch()
    for path, message in ((tmp_path / 'file' / 'a', '(Not a directory|File exists)'),
                          (tmp_path / 'file' / 'a' / 'b', 'Not a directory'),
                          (tmp_path / ('a' * 256), 'File name too long')):
        with pytest.raises(MultiSSLError, match=f'cannot be written .{message}'):
            write_atomically(path, 'x')
    write_atomically(tmp_path / ('a' * 255), 'x')  # as long as there may be
    assert sorted(os.listdir(tmp_path)) == ['a' * 255, 'file']


def test_a_pipe_stays_one(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    end = os.open(tmp_path / 'pipe', os.O_RDONLY | os.O_NONBLOCK)
    with atomic_path(tmp_path / 'pipe') as part:
        part.write_text('x')
    assert os.read(end, 10) == b'x' and os.listdir(tmp_path) == ['pipe']
    os.close(end)


@pytest.mark.parametrize('number', [
    errno.EISDIR, errno.ENOTDIR, errno.EPERM, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE,
    errno.ENAMETOOLONG, errno.ENOSPC])
def test_what_the_system_refuses_is_one_line(number, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tool'])
    for names in ((), ('a.json', )):
        def main(names=names):
            raise OSError(number, os.strerror(number), *names)

        with pytest.raises(SystemExit):
            cli.run_tool(main)
        name = names[0] if names else 'a file, which the system does not name'
        assert capsys.readouterr().err == f'error: {name}: {os.strerror(number)}\n'
