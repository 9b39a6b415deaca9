"""What could not be built of a config is said in one line, and bugs of the program are not."""
import re

import pytest
from mmengine.config import ConfigDict
from mmengine.registry import Registry

from multissl_mm.utils.build_errors import fault_of_config

THINGS = Registry('thing', scope='multissl_mm')


class Base:
    def __init__(self, depth=1):
        self.depth = depth


@THINGS.register_module()
class Thing(Base):
    def __init__(self, width=1, **kwargs):
        super().__init__(**kwargs)


@THINGS.register_module()
class Faulty:
    def __init__(self, dept=1):
        self.help(dept=dept)

    def help(self):
        pass


@pytest.mark.parametrize('cfg, words', [
    (ConfigDict(type='Thing', dept=3), 'the config gives Thing dept, .*; is it depth?'),
    (ConfigDict(type='Thing', xyz=3), 'gives Thing xyz, .*; it takes depth, width'),
    (ConfigDict(meen=3), 'an entry of the config has no type, .*; it has meen'),
    (dict(type='Thing', dept=3), None),  # of the program's making
    (ConfigDict(type='Faulty', dept=3), None)])
def test_faults_of_configs(cfg, words):
    with pytest.raises((TypeError, KeyError)) as error:
        THINGS.build(cfg)
    found = fault_of_config(error.value)
    if words is None:
        assert found is None
    else:
        assert re.match(f'(.*){words.replace("?", "[?]")}$', found)


def test_other_errors_are_none_of_theirs():
    with pytest.raises(TypeError) as error:
        Thing(dept=1)
    assert fault_of_config(error.value) is None
