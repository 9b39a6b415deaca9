"""Files that are not, or not alone, what they should be."""
import sys
import types
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import Config

from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import choose_checkpoint
from multissl_mm.utils.checkpoint import backbone_state_dict, check_whole, load_state_dict_file

WEIGHTS = {'backbone.conv.weight': torch.arange(300.)}
DAMAGES = [(lambda data: data[:len(data) // 2], 'cut off'), (lambda data: b'', 'it is empty'),
           (lambda data: b'<html>not found', 'another kind of file')]


@pytest.mark.parametrize('damage, words', DAMAGES)
def test_files_that_are_not_whole_are_named(tmp_path, damage, words):
    """Bug 15: for --resume, load_from and tests, before anything is loaded."""
    path = tmp_path / 'a.pth'
    torch.save(WEIGHTS, path)
    path.write_bytes(damage(path.read_bytes()))
    for resume in (False, True):
        with pytest.raises(MultiSSLError, match=f'a.pth: .*{words}') as error:
            choose_checkpoint(Config(dict(
                resume=resume, load_from=str(path), work_dir=str(tmp_path))))
        assert '\n' not in str(error.value)
    with pytest.raises(MultiSSLError, match=words):
        load_state_dict_file(str(path))


@pytest.mark.parametrize('zipped', [False, True])
def test_whole_files_are_read(tmp_path, zipped):
    path = tmp_path / 'a.pth'
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=zipped)
    check_whole(str(path))
    assert load_state_dict_file(str(path)).keys() == WEIGHTS.keys()


@pytest.mark.parametrize('top', ['archive', 'epoch_1'])
def test_files_of_other_versions_of_torch(tmp_path, top):
    """2.4 wrote fewer records; what is too new says so."""
    old, new = (str(tmp_path / name) for name in ('old.pth', 'new.pth'))
    torch.save(WEIGHTS, tmp_path / 'a.pth')
    with zipfile.ZipFile(tmp_path / 'a.pth') as a, zipfile.ZipFile(old, 'w') as before, \
            zipfile.ZipFile(new, 'w') as after:
        for record in a.namelist():
            name, content = record.partition('/')[2], a.read(record)
            if name not in ('.format_version', '.storage_alignment'):
                before.writestr(f'{top}/{name}', content)
            after.writestr(f'{top}/{name}', b'999\n' if name == 'version' else content)
    found = load_state_dict_file(old)
    assert all(torch.equal(found[key], weight) for key, weight in WEIGHTS.items())
    with pytest.raises(MultiSSLError, match='new.pth: .*version 999.*too old') as error:
        load_state_dict_file(new)
    assert '\n' not in str(error.value)


def test_an_object_of_a_class_that_is_not_here(tmp_path):
    """Bug 16: as Lightning's callbacks write them."""
    module = types.ModuleType('of_others')
    module.State = type('State', (), dict(__module__='of_others'))
    sys.modules['of_others'] = module
    try:
        torch.save(dict(state_dict=WEIGHTS, callbacks=module.State()), tmp_path / 'a.pth')
    finally:
        del sys.modules['of_others']
    with pytest.raises(MultiSSLError, match='a.pth: .*of_others.*torch.save') as error:
        load_state_dict_file(str(tmp_path / 'a.pth'))
    assert '\n' not in str(error.value)


def test_weights_in_dicts_of_dicts(tmp_path):
    """Bug 17: a prefix reaches into them, and what is at the top is listed."""
    inner = {'module.backbone.conv.weight': torch.ones(2)}
    torch.save(dict(student=inner, teacher={'backbone.conv.weight': torch.zeros(2)}, epoch=3),
               tmp_path / 'a.pth')
    found = load_state_dict_file(str(tmp_path / 'a.pth'))
    for name, value in (('student', 1), ('teacher', 0)):
        own = backbone_state_dict(found, f'{name}.backbone.')
        assert list(own) == ['conv.weight'] and (own['conv.weight'] == value).all()
    with pytest.raises(MultiSSLError, match=r'start with student\., teacher\.'):
        backbone_state_dict(found)
    classy = dict(classy_state_dict=dict(base_model=dict(model=dict(trunk=dict(a=torch.ones(1))))))
    torch.save(classy, tmp_path / 'b.pth')
    assert list(load_state_dict_file(str(tmp_path / 'b.pth'))) == [
        'classy_state_dict.base_model.model.trunk.a']
    torch.save(dict(epoch=3, name='x'), tmp_path / 'c.pth')
    with pytest.raises(MultiSSLError, match='c.pth: holds no state_dict, but epoch, name'):
        load_state_dict_file(str(tmp_path / 'c.pth'))


@pytest.mark.parametrize('content, message', [
    ([dict(a=torch.ones(1))], 'holds a list, not a dict with a state_dict;'),
    ({}, 'holds no state_dict$'), (dict(state_dict={}), 'its state_dict holds no tensor, but noth'),
    (dict(state_dict=None), 'its state_dict holds no tensor, but NoneType;'),
    (dict(model={'a': np.ones(2), 'b': 1}), 'its model holds no tensor, but int, ndarray;')])
def test_what_a_file_without_weights_holds_is_named(tmp_path, content, message):
    torch.save(content, tmp_path / 'c.pth')
    with pytest.raises(MultiSSLError, match=f'c.pth: {message}') as error:
        load_state_dict_file(tmp_path / 'c.pth')
    assert '\n' not in str(error.value)
