"""The embedded default data, as steps."""
from pathlib import Path
from typing import Dict

from ..utils.project import project_file
from .scales import SCALES, Scale
from .steps import Steps

#: Simulated scenes in OmniAudio's layout.
RECORDED = Path('data/demo/omniaudio')
#: Others, for settings to be chosen on.
VALIDATION = Path('data/validation/omniaudio')


def picture_data(steps: Steps, scale: Scale = SCALES['demo']) -> None:
    """Writes the pictures of a scale, where they are not there: streets, or products."""
    name = scale.data.name
    what = 'real products' if scale.products else 'street scenes'
    steps.run(f'{what} in ImageNet, VOC2007 and COCO layouts',
              'data' if name == 'demo' else f'{name}_pictures', '-m', 'multissl_mm.simulation',
              str(scale.data), '--seed', '0', *_counted(scale.pictures),
              *(['--products', scale.products] if scale.products else []))


def validation_data(steps: Steps, scale: Scale = SCALES['demo']) -> None:
    """Writes other street scenes, for settings to be chosen on, where they are not there."""
    folder = validation_folder(scale)
    steps.run('other street scenes, for validation', f'{Path(folder).name}_data', '-m',
              'multissl_mm.simulation', folder, '--seed', '1', *_counted(scale.validation))


def validation_folder(scale: Scale) -> str:
    """Where those scenes are: the same for all scales that have as many."""
    same = scale.validation == SCALES['demo'].validation or scale.full
    return 'data/validation' if same else f'data/validation_{scale.name}'


def sound_data(steps: Steps, recorded: Path = RECORDED, *options: str,
               scale: Scale = SCALES['demo']) -> None:
    """Simulates the scenes of a scale and converts them, where they are not there.

    Args:
        recorded (Path): Folder of the scenes.
        options (str): Of the simulator.
        scale (Scale): Says how many.
    """
    name, count = recorded.parent.name, scale.scenes[0] + scale.scenes[2]
    steps.run(f'{count} street scenes of 20 s, in OmniAudio\'s layout', f'{name}_data', '-m',
              'multissl_mm.simulation', str(recorded.parent), '--omniaudio', str(count),
              '--seconds', '20', *options)
    steps.run('frames, flow and foreground', f'{name}_convert',
              project_file('tools/dataset_converters/omniaudio.py'), str(recorded),
              str(converted(recorded)), '--size', '32', '128', '--rows', '.34', '.69')


def converted(recorded: Path = RECORDED) -> Path:
    """Folder of the scenes as they are trained on."""
    return recorded.with_name(f'{recorded.name}_32x128')


def _counted(counts: Dict[str, int]) -> 'list[str]':
    return [word for part, count in counts.items() if count for word in (f'--{part}', str(count))]
