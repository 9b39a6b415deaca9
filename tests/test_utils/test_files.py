import gc
import multiprocessing
import os
import resource
import signal
from pathlib import Path

import pytest
import torch

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.checkpoint import save_atomically
from multissl_mm.utils.files import (
    atomic_path,
    link_or_copy,
    remove_leftovers,
    write_atomically,
)


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / 'new' / 'file.txt'
    with atomic_path(path) as part:
        part.write_text('whole')
        assert not path.exists()
    assert path.read_text() == 'whole'
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as part:
        part.write_text('to')
        raise KeyboardInterrupt
    assert path.read_text() == 'whole' and os.listdir(path.parent) == ['file.txt']


def test_a_link_to_the_same_file_leaves_nothing(tmp_path):
    """R8: as where a stage's checkpoint is kept again by a resumed run."""
    path = tmp_path / 'epoch_1.pth'
    path.write_text('weights')
    for _ in range(2):
        link_or_copy(path, tmp_path / 'stage1.pth')
    assert sorted(os.listdir(tmp_path)) == ['epoch_1.pth', 'stage1.pth']


def test_writers_of_one_file_do_not_meet(tmp_path):
    """R5: of one process, of two with the same number on two machines."""
    path = tmp_path / 'file.txt'
    with atomic_path(path) as one:
        with atomic_path(path) as two:
            two.write_text('second')
            one.write_text('first')
        assert path.read_text() == 'second'
    assert path.read_text() == 'first'


def _write_often(path):
    for i in range(200):
        write_atomically(path, str(i) * 1000)


def test_many_processes_write_one_file(tmp_path):
    """R5"""
    path = tmp_path / 'file.txt'
    writers = [multiprocessing.get_context('fork').Process(target=_write_often, args=(path, ))
               for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 3
    assert path.read_text() == '199' * 1000 and os.listdir(tmp_path) == ['file.txt']


def _be_killed(path):
    with atomic_path(path) as part:
        part.write_text('of a killed process')
        os.kill(os.getpid(), signal.SIGKILL)


def test_leftovers_of_the_dead_go_and_those_of_others_stay(tmp_path):
    """R5: names differ from run to run, so a kill must not leave a file each time."""
    path = tmp_path / 'file.pth'
    process = multiprocessing.get_context('fork').Process(target=_be_killed, args=(path, ))
    process.start()
    process.join(60)
    left, = tmp_path.iterdir()
    elsewhere = left.with_name(left.name.replace('.pth.', '.pth.another-'))
    elsewhere.write_text('being written on another machine')
    with atomic_path(path) as own:
        own.write_text('being written')
        remove_leftovers(tmp_path)
        assert set(tmp_path.iterdir()) == {own, elsewhere}


def test_checkpoints_have_names_of_their_own_while_they_are_written(tmp_path, monkeypatch):
    """R5"""
    seen, replace = [], os.replace

    def spy(part, path):
        seen.append(Path(part).name)
        replace(part, path)

    monkeypatch.setattr(os, 'replace', spy)
    for _ in range(2):
        save_atomically(dict(a=torch.zeros(2)), str(tmp_path / 'x.pth'))
    assert len(set(seen)) == 2 and os.listdir(tmp_path) == ['x.pth']


def test_what_the_system_refuses_to_write_is_said(tmp_path):
    """A quota, a full disk: the limit of a file's size is met at the same call."""
    path = tmp_path / 'a.pth'
    save_atomically(dict(a=1), path)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        for write in (lambda: save_atomically(dict(a=torch.zeros(10000)), path),
                      lambda: write_atomically(path, 'x' * 10000)):
            with pytest.raises(MultiSSLError, match='a.pth: cannot be written .File too large'):
                write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    gc.collect()  # Python 3.12.1 ended here by SIGSEGV
    assert path.read_bytes() == before and os.listdir(tmp_path) == ['a.pth']


def test_what_a_shell_has_redirected_is_written_to(tmp_path):
    """Not replaced: that would put a file in the place of the system's link."""
    link = tmp_path / 'stdout'  # as /dev/stdout is one
    with open(tmp_path / 'out.json', 'w') as file:
        for name in (f'/proc/self/fd/{file.fileno()}', link):
            if name == link:
                link.symlink_to(f'/proc/self/fd/{file.fileno()}')
            write_atomically(name, str(name))
            assert (tmp_path / 'out.json').read_text() == str(name)
    assert link.is_symlink() and len(list(tmp_path.iterdir())) == 2
