"""What a run has logged, read back."""
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np
from mmengine.config import Config

from ..errors import MultiSSLError
from ..utils.files import read_json_lines


class Run(NamedTuple):
    """What a run has logged.

    ``curves`` holds for every key epochs (M,), as fractions, and values (M,); ``stages`` holds
    name, first and last epoch of the stages of an incremental run.
    """
    name: str
    curves: Dict[str, Tuple[np.ndarray, np.ndarray]]
    stages: List[Tuple[str, float, float]]

    @property
    def epochs(self) -> float:
        """How far the run has come."""
        return max(x[-1] for x, _ in self.curves.values())


def read_log(work_dir: Union[str, Path]) -> Tuple[List[dict], Path]:
    """Reads all that the starts of a run have logged into its work directory.

    Returns:
        tuple: One dict a line, each with ``iter`` and ``epoch``, in the order of the steps; steps
        that were done again are there once. Validations have those of the step before, also where
        a resumed run begins with one. And the file that the last of them are of.

    Raises:
        MultiSSLError: If there is no such folder, or nothing of a training in it.
    """
    root = Path(work_dir)
    if not root.is_dir():
        raise MultiSSLError(f'{work_dir}: no such folder')
    files = sorted(root.glob('*/vis_data/scalars.json'))
    if not files:
        raise MultiSSLError(f'{work_dir}: no */vis_data/scalars.json in it; is it the work_dir of '
                            'a run, and has its visualizer a LocalVisBackend?')
    lines: List[dict] = []
    used: Optional[Path] = None
    for path in files:
        first, new = _read_lines(path)
        if new:  # a run that only tested has none
            lines, used = [line for line in lines if line['iter'] < new[0]['iter']], path
        for line in first:
            if _insert(line, lines):
                used = path
        lines += new
    if used is None:
        raise MultiSSLError(f'{files[-1]}: no training step is logged yet')
    return lines, used


def read_run(work_dir: Union[str, Path]) -> Run:
    """Reads the curves of a run, see :func:`read_log`."""
    lines, used = read_log(work_dir)
    # The last step of every epoch; the present epoch gets at least the length of the one before.
    ends = {0: 0}
    for line in lines:
        ends[line['epoch']] = max(line['iter'], ends.get(line['epoch'], 0))
    epochs, steps = (np.array(x, float) for x in zip(*sorted(ends.items())))
    if len(steps) > 2:
        steps[-1] = max(steps[-1], 2 * steps[-2] - steps[-3])
    points: Dict[str, List[Tuple[int, float]]] = {}
    for line in lines:
        for key, value in line.items():
            if isinstance(value, (int, float)) and key not in ('iter', 'epoch', 'step'):
                points.setdefault(key, []).append((line['iter'], value))
    curves = {}
    for key, pairs in points.items():
        x, y = np.array(pairs, float).T
        curves[key] = np.interp(x, steps, epochs), y
    return Run(Path(work_dir).resolve().name, curves, _stages(used.with_name('config.py')))


def _read_lines(path: Path) -> Tuple[List[dict], List[dict]]:
    """Validations that a start begins with, as they are; all else, with ``iter`` and ``epoch``."""
    first: List[dict] = []
    lines: List[dict] = []
    for line in read_json_lines(path):
        if 'iter' in line:
            lines.append(dict({'epoch': 1}, **line))
        elif lines:  # a validation: MMEngine gives it an epoch only
            lines.append(dict(line, iter=lines[-1]['iter'], epoch=lines[-1]['epoch']))
        else:
            first.append(line)
    return first, lines


def _insert(validation: dict, lines: List[dict]) -> bool:
    """Puts a validation behind the step of an earlier start that it is of, if there is one."""
    step = validation.get('step', 0)  # 0 if nothing was trained
    # MMEngine says nowhere of what. Steps are logged of every epoch, so more are iterations.
    unit = 'epoch' if step <= max((line['epoch'] for line in lines), default=0) else 'iter'
    before = [k for k, line in enumerate(lines) if line[unit] <= step]
    if not before:
        return False
    last = lines[before[-1]]
    new = dict(validation, iter=last['iter'], epoch=last['epoch'])
    lines.insert(before[-1] + 1, new)
    # It may have been done before, and the start ended before it was noted.
    lines[:] = [line for line in lines if line is new or line.keys() != new.keys()
                or any(line[key] != new[key] for key in ('iter', 'step'))]
    return True


def _stages(config: Path) -> List[Tuple[str, float, float]]:
    if not config.is_file():
        return []
    cfg = Config.fromfile(config)
    lengths = (cfg.get('train_cfg') or {}).get('stages')
    if lengths is None:  # runs of earlier versions had them in a hook
        hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
        lengths = next((hook.get('epochs') for hook in hooks
                        if hook and str(hook['type']).endswith('ILStageHook')), None) or []
    ends = np.cumsum(lengths).tolist()
    names = [task['name'] for task in cfg.model.get('tasks', [])]
    return [(f'stage {k + 1}: {name}', end - length, end)
            for k, (name, length, end) in enumerate(zip(names, lengths, ends)) if length]
