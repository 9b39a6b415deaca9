"""What MIM finds."""

import tiny
import yaml

ROOT = tiny.CONFIGS.parent


def test_every_config_is_listed_once_and_nothing_else():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    models = [model for path in index['Import']
              for model in yaml.safe_load((ROOT / path).read_text())['Models']]
    configs = [model['Config'] for model in models]
    present = [str(p.relative_to(ROOT)) for folder in ('', 'demo', 'sound', 'sound/demo')
               for p in (tiny.CONFIGS / folder).glob('*.py') if not p.name.startswith('mask-rcnn')]
    assert sorted(configs) == sorted(present)
    names = [model['Name'] for model in models]
    assert len(set(names)) == len(names)
    for model in models:  # full-size runs have not been made here, so nothing may be claimed
        assert model['Results'] is None or 'demo/' in model['Config']
