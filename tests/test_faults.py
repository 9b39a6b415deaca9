"""Damaged files of every kind are read, or named in one line: no traceback, hang or crash."""
import fuzz
import pytest


def check(folder, seeds):
    counts, bad = fuzz.fuzz(folder, seeds)
    assert not bad, '\n'.join(bad[:20])
    assert all(sum(found.values()) == len(seeds) for found in counts.values())
    return counts


def test_damaged_files(tmp_path):
    counts = check(tmp_path, range(10))
    assert sum(found['named'] for found in counts.values()) > 20


@pytest.mark.faults
def test_two_thousand_damaged_files(tmp_path):
    check(tmp_path, range(200))


def test_what_goes_wrong_in_the_child_is_seen(tmp_path, monkeypatch):
    """That the check can fail: a crash, a hang, a traceback, an error without the file's name."""
    import os
    import signal
    reads = dict(crash=lambda path: os.kill(os.getpid(), signal.SIGSEGV), bug=lambda path: 1 / 0,
                 says=lambda path: (_ for _ in ()).throw(fuzz.MultiSSLError('something is wrong')),
                 hang=_forever)
    whole = b'whole'
    for name, read in reads.items():
        monkeypatch.setitem(fuzz.KINDS, name, fuzz.Kind(
            name, lambda path: path.write_bytes(whole),
            lambda path, read=read: None if path.read_bytes() == whole else read(path)))
        monkeypatch.setattr(fuzz, 'PATIENCE', .2)
        _, bad = fuzz.fuzz(tmp_path, range(1), [name])
        assert len(bad) == 1 and dict(
            crash="'crash', 0, 'ends the process'), exit code -11", bug='ZeroDivisionError',
            says="says: 'something is wrong'",
            hang="'hang', 0, 'ends the process'), exit code -27")[name] in bad[0]


def _forever(path):
    while True:
        pass
