"""What could not be built of a config is said in one line, and bugs of the program are not."""
import re

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry

from multissl_mm.utils.build_errors import fault_of_config

THINGS = Registry('thing', scope='multissl_mm')


TOYS = Registry('thing', scope='toys', parent=THINGS)


@TOYS.register_module()
class Ball:
    pass


class Base:
    def __init__(self, depth=1):
        self.depth = depth


@THINGS.register_module()
class Thing(Base):
    def __init__(self, width=1, **kwargs):
        super().__init__(**kwargs)


@THINGS.register_module()
class Needy:
    def __init__(self, width, *, depth):
        pass


@THINGS.register_module()
class Faulty:
    def __init__(self, dept=1):
        self.help(dept=dept)

    def help(self):
        pass


@pytest.mark.parametrize('cfg, words', [
    (ConfigDict(type='Thing', dept=3), 'the config gives Thing dept, .*; is it depth?'),
    (ConfigDict(type='Thing', xyz=3), 'gives Thing xyz, .*; it takes depth, width'),
    (ConfigDict(type='Needy', width=1), "Needy needs 'depth', which the config does not give"),
    (ConfigDict(type='Needy', depth=1), "Needy needs 'width', which the config does not give"),
    (ConfigDict(type='Thingg'), 'there is no Thingg among the things that are known; is it Thing?'),
    (ConfigDict(type='toys.Bll'), 'there is no toys.Bll among the things .*; is it toys.Ball?'),
    (ConfigDict(type='Xyzzy'), 'there is no Xyzzy among the things .* named in custom_imports'),
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


@pytest.mark.parametrize('entry, added, where', [
    (dict(type='Thing', dept=3), {}, 'model.0.head'),
    (dict(type='Thing', dept=4), dict(more=1), 'model.1'),  # as a detector adds to its heads
    (dict(type='Thing', dept=5), {}, None)])
def test_where_a_fault_of_a_config_stands(entry, added, where):
    cfg = Config(dict(
        other=dict(type='Thing'), model=[dict(type='Box', head=dict(type='Thing', dept=3)),
                                         dict(type='Thing', dept=4)]))
    assert isinstance(cfg, Config)  # in this frame, as in that of a run
    with pytest.raises(TypeError) as error:
        THINGS.build(ConfigDict(entry, **added))
    assert fault_of_config(error.value).startswith(f'{where}: the config gives' if where else 'the')


def test_other_errors_are_none_of_theirs():
    with pytest.raises(TypeError) as error:
        Thing(dept=1)
    assert fault_of_config(error.value) is None
