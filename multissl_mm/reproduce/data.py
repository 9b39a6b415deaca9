"""The embedded default data, as steps."""
from pathlib import Path
from typing import Dict

from ..errors import MultiSSLError
from ..utils.project import project_file
from .scales import SCALES, Scale
from .steps import Steps

#: Simulated scenes in OmniAudio's layout.
RECORDED = Path('data/demo/omniaudio')
#: Where tools/evidence/fetch.sh and recordings.py leave another head, and vehicles.
HEAD = 'data/evidence/omnitone/build/omnitone.esm.js'
PACKAGES, RECORDINGS = 'data/evidence/packages', 'data/evidence/recordings'


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


def validation_folder(scale: Scale, counted: str = 'validation') -> str:
    """Where those scenes are: the same for all scales that have as many.

    Args:
        scale (Scale): Whose.
        counted (str): Its field that says how many: ``validation``, or ``scenes`` of sound.
    """
    same = getattr(scale, counted) == getattr(SCALES['demo'], counted) or scale.full
    return 'data/validation' if same else f'data/validation_{scale.name}'


def sound_validation(scale: Scale) -> Path:
    """Other scenes of sound, for settings to be chosen on."""
    return Path(validation_folder(scale, 'scenes')) / RECORDED.name


def sound_data(steps: Steps, recorded: Path = RECORDED, *options: str,
               scale: Scale = SCALES['demo'], count: int = 0) -> None:
    """Simulates the scenes of a scale and converts them, where they are not there.

    Args:
        recorded (Path): Folder of the scenes.
        options (str): Of the simulator.
        scale (Scale): Says how many.
        count (int): How many, where not as many as the scale trains and tests on.
    """
    name, count = recorded.parent.name, count or scale.scenes[0] + scale.scenes[2]
    steps.run(f'{count} street scenes of 20 s, in OmniAudio\'s layout', f'{name}_data', '-m',
              'multissl_mm.simulation', str(recorded.parent), '--omniaudio', str(count),
              '--seconds', '20', *options)
    steps.run('frames, flow and foreground', f'{name}_convert',
              project_file('tools/dataset_converters/omniaudio.py'), str(recorded),
              str(converted(recorded)), '--size', '32', '128', '--rows', '.34', '.69')


def second_head_data(steps: Steps, scale: Scale = SCALES['demo']) -> Path:
    """Scenes to test on as another head hears recorded vehicles, where they are not there.

    Returns:
        Path: Their folder.

    Raises:
        MultiSSLError: If head and recordings have not been fetched.
    """
    recorded = second_head_folder(scale)
    missing = [path for path in (HEAD, PACKAGES) if not Path(path).exists()]
    if missing and not converted(recorded).is_dir():
        raise MultiSSLError(f'{missing[0]}: no such file; tools/evidence/fetch.sh head recordings '
                            'fetches it')
    steps.run('recorded vehicles', f'{recorded.parent.name}_recordings',
              project_file('tools/evidence/recordings.py'), PACKAGES, RECORDINGS,
              done=converted(recorded))
    sound_data(steps, recorded, '--seed', '9', '--head', HEAD, '--recordings', RECORDINGS,
               count=scale.scenes[2])
    return converted(recorded)


def second_head_folder(scale: Scale) -> Path:
    """Where they are."""
    return scale.data.with_name(f'second_head_{scale.name}') / RECORDED.name


def converted(recorded: Path = RECORDED) -> Path:
    """Folder of the scenes as they are trained on."""
    return recorded.with_name(f'{recorded.name}_32x128')


def _counted(counts: Dict[str, int]) -> 'list[str]':
    return [word for part, count in counts.items() if count for word in (f'--{part}', str(count))]
