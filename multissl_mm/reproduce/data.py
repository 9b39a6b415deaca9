"""The embedded default data, as steps."""
from pathlib import Path

from ..utils.project import project_file
from .steps import Steps

#: Simulated scenes in OmniAudio's layout.
RECORDED = Path('data/demo/omniaudio')
#: Others, for settings to be chosen on.
VALIDATION = Path('data/validation/omniaudio')


def picture_data(steps: Steps) -> None:
    """Writes the street scenes of the demo, where they are not there."""
    steps.run('street scenes in ImageNet, VOC2007 and COCO layouts', 'data', '-m',
              'multissl_mm.simulation', 'data/demo', '--seed', '0', '--imagenet', '4000', '--voc',
              '2000', '--coco-train', '600', '--coco-val', '300')


def validation_data(steps: Steps) -> None:
    """Writes other street scenes, for settings to be chosen on, where they are not there."""
    steps.run('other street scenes, for validation', 'validation_data', '-m',
              'multissl_mm.simulation', 'data/validation', '--seed', '1', '--voc', '2000',
              '--coco-train', '600', '--coco-val', '600')


def sound_data(steps: Steps, recorded: Path = RECORDED, *options: str) -> None:
    """Simulates the demo's scenes and converts them, where they are not there.

    Args:
        recorded (Path): Folder of the scenes.
        options (str): Of the simulator.
    """
    name = recorded.parent.name
    steps.run('144 street scenes of 20 s, in OmniAudio\'s layout', f'{name}_data', '-m',
              'multissl_mm.simulation', str(recorded.parent), '--omniaudio', '144', '--seconds',
              '20', *options)
    steps.run('frames, flow and foreground', f'{name}_convert',
              project_file('tools/dataset_converters/omniaudio.py'), str(recorded),
              str(converted(recorded)), '--size', '32', '128', '--rows', '.34', '.69')


def converted(recorded: Path = RECORDED) -> Path:
    """Folder of the scenes as they are trained on."""
    return recorded.with_name(f'{recorded.name}_32x128')
