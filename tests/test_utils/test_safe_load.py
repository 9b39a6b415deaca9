"""Code in a checkpoint is not run, whoever reads it."""
import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import CheckpointLoader

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.checkpoint import load_checkpoint_file
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.permissions import TRUST_CHECKPOINT
from multissl_mm.utils.safe_load import tensors_alone


class Payload:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path), )


class Attribute:
    """What `getattr` reaches where it is unpickled."""

    def __init__(self, *path):
        self.path = path

    def __reduce__(self):
        return getattr, self.path


@pytest.mark.parametrize('zipped', [True, False])
def test_a_program_is_named_and_not_run(tmp_path, monkeypatch, zipped):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=dict(w=torch.ones(1)), note=Payload(tmp_path / 'ran')), path,
               _use_new_zipfile_serialization=zipped)
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')  # as OpenMMLab's users set it
    for load in (load_checkpoint_file, CheckpointLoader.load_checkpoint):
        with pytest.raises(MultiSSLError, match='a.pth: holds an object of posix.mkdir, .*'
                           r'--trust-checkpoint \(or MULTISSL_TRUST_CHECKPOINT=1\)$') as error:
            load(str(path))
        assert '\n' not in str(error.value)
    assert not (tmp_path / 'ran').exists()
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    monkeypatch.setenv(TRUST_CHECKPOINT.variable, '1')
    assert load_checkpoint_file(path)['state_dict']['w'] == 1 and (tmp_path / 'ran').is_dir()


@pytest.mark.parametrize('obj', [
    Attribute(HistoryBuffer, '__init__'), Attribute(HistoryBuffer.mean, '__globals__'),
    np.array([None]), Path('a'), MessageHub.get_instance])
def test_of_classes_only_what_mmengine_needs(tmp_path, obj):
    torch.save(dict(state_dict=dict(w=torch.ones(1)), other=obj), tmp_path / 'a.pth')
    with pytest.raises(MultiSSLError, match='a.pth: holds an object of '):
        load_checkpoint_file(tmp_path / 'a.pth')


def test_what_runs_write_is_read(tmp_path):
    history = HistoryBuffer([1., 2.], [1, 1])
    written = dict(
        state_dict=OrderedDict(w=torch.ones(1)), args=argparse.Namespace(lr=.1),
        message_hub=dict(log_scalars=OrderedDict(loss=history), runtime_info=OrderedDict(
            best=np.float64(.5), n=np.int64(3), ok=np.bool_(True), a=np.arange(3, dtype='f4'))))
    torch.save(written, tmp_path / 'a.pth')
    # As NumPy 1 names its functions.
    found = load_checkpoint_file(tmp_path / 'a.pth')
    hub = found['message_hub']
    assert hub['log_scalars']['loss'].statistics('mean') == 1.5 and found['args'].lr == .1
    assert hub['runtime_info']['best'] == .5 and hub['runtime_info']['a'].dtype == np.float32


def test_names_of_numpy_1(tmp_path):
    torch.save(dict(a=np.arange(3.), b=np.float64(2)), tmp_path / 'a.pth',
               _use_new_zipfile_serialization=False)
    data = (tmp_path / 'a.pth').read_bytes().replace(b'numpy._core.multiarray',
                                                     b'numpy.core.multiarray')
    (tmp_path / 'a.pth').write_bytes(data)
    assert load_checkpoint_file(tmp_path / 'a.pth')['b'] == 2


def test_programs_of_other_kinds(tmp_path):
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(tmp_path / 'script.pth'))
    with pytest.raises(MultiSSLError, match='script.pth: holds a TorchScript program'):
        load_checkpoint_file(tmp_path / 'script.pth')
    (tmp_path / 'pickle.pth').write_bytes(pickle.dumps(dict(a=Payload(tmp_path / 'ran')), 4))
    with pytest.raises(MultiSSLError, match='pickle.pth: (holds|cannot be read)'):
        load_checkpoint_file(tmp_path / 'pickle.pth')
    assert not (tmp_path / 'ran').exists()


def test_loaders_of_mmengine_run_nothing(tmp_path, monkeypatch):
    """Those of URLs ask torch.hub, which by itself reads everything."""
    url = (tmp_path / 'b.pth').as_uri()
    torch.save(dict(note=Payload(tmp_path / 'ran')), tmp_path / 'b.pth')
    with pytest.raises(MultiSSLError, match='holds an object of posix.mkdir'), \
            tensors_alone('b.pth'):
        torch.hub.load_state_dict_from_url(url, model_dir=str(tmp_path / 'hub'))
    guarded = CheckpointLoader._get_checkpoint_loader('https://example.com/a.pth')
    assert guarded.__name__ == 'load_from_http' and hasattr(guarded, '__wrapped__')
    assert not (tmp_path / 'ran').exists()


def test_what_others_load_in_a_tool_is_not_run(tmp_path, capsys):
    """Such as the queue of MMPretrain's SwAV, by `torch.load` as it is; before torch 2.6 it ran."""
    torch.save(Payload(tmp_path / 'made'), tmp_path / 'queue.pth')
    before = dict(os.environ)
    with pytest.raises(pickle.UnpicklingError):
        run_tool(lambda: torch.load(tmp_path / 'queue.pth', weights_only=False))
    assert not (tmp_path / 'made').exists() and dict(os.environ) == before
