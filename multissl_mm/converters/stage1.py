"""A finished first task, from a checkpoint of another code base."""
from typing import Dict, List, Mapping, NamedTuple, Optional

import torch
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed
from torch import Tensor, nn

from ..errors import MultiSSLError
from ..models.algorithms.base import MultiSSL
from ..models.pretext.algorithm_task import AlgorithmTask, FeatureFeed
from ..models.pretext.momentum_contrast import MomentumContrastTask
from ..registry import MODELS
from ..runtime import apply_options, load_config
from ..utils.checkpoint import fill, load_state_dict_file, save_atomically
from ..utils.files import AnyPath
from ..version import __version__
from .layouts import LAYOUTS, StateDict, guess_layout, split_parts


class Stage1(NamedTuple):
    """What a checkpoint was taken for: layout, task, and a line per part, where it came from."""
    layout: str
    task: str
    parts: List[str]


def convert_to_stage1(config: AnyPath, source: AnyPath, out: AnyPath, layout: Optional[str] = None,
                      seed: int = 0, options: Optional[dict] = None) -> Stage1:
    """Turns a checkpoint of another code base into a finished stage 1.

    Args:
        config (str): Of the run that is to start at stage 2.
        source (str): File or URL, of MoCo v2 or DenseCL in one of :data:`LAYOUTS`, or of the
            algorithm of MMPretrain that the first task is.
        out (str): Checkpoint to write, for ``load_from``.
        layout (str, optional): Key of :data:`LAYOUTS`. Defaults to what the keys look like.
        seed (int): Of the layers of later stages.
        options (dict, optional): Changes of the config, as MMEngine's ``--cfg-options``.

    Raises:
        MultiSSLError: If anything does not fit the first task of the config, key by key,
            or an option the config.
    """
    state_dict = load_state_dict_file(source)
    cfg = load_config(config)
    apply_options(cfg, options)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        set_random_seed(seed)
        model = MODELS.build(cfg.model) if cfg.get('model') else None
        if not isinstance(model, MultiSSL) or not len(model.tasks):
            raise MultiSSLError(f'{config}: model is a {type(model).__name__} without pretext '
                                'tasks, so it has no first stage; name the config of a run that '
                                'starts at stage 2')
        model.init_weights()
    stage1 = fill_first_task(model, state_dict, layout)
    save_atomically(dict(state_dict=model.state_dict(), meta=dict(
        multissl_mm_version=__version__, task=stage1.task, layout=stage1.layout)), out)
    return stage1


def fill_first_task(model: MultiSSL, state_dict: StateDict, layout: Optional[str] = None
                    ) -> Stage1:
    """Fills the first task of a model, its backbone and their momentum copies, in place.

    What the file does not have is what it is when a task starts: momentum layers equal to the
    query's, a queue of random directions.

    Args:
        model (MultiSSL): Freshly built.
        state_dict (dict[str, Tensor]): Without ``module.`` prefixes.
        layout (str, optional): Key of :data:`LAYOUTS`. Defaults to what the keys look like.

    Raises:
        MultiSSLError: If backbone or neck are missing, any key or shape does not fit, or there is
            no other code base with a task of this kind.
    """
    name = next(iter(model.tasks))
    task = model.tasks[name]
    layout = layout or guess_layout(state_dict)
    if isinstance(task, MomentumContrastTask):
        lines = _fill_contrast(model, name, task, split_parts(state_dict, layout))
    elif isinstance(task, AlgorithmTask):
        lines = _fill_algorithm(model, name, task, state_dict)
    else:
        raise MultiSSLError(f"the first task '{name}' is a {type(task).__name__}, which no other "
                            f'code base has; checkpoints ({", ".join(LAYOUTS)}) are of MoCo v2, '
                            'DenseCL or an algorithm of MMPretrain')
    return Stage1(layout, name, lines)


def _fill_contrast(model: MultiSSL, name: str, task: MomentumContrastTask,
                   parts: Mapping[str, StateDict]) -> List[str]:
    modules: Dict[str, nn.Module] = {
        'backbone': model.backbone,
        'neck': task.neck,
        'momentum_backbone': model.momentum_backbone.module,
        'momentum_neck': task.momentum_neck.module,
    }
    lines: List[str] = []
    for part, module in modules.items():
        where = f'tasks.{name}.{part}' if part.endswith('neck') else part
        if part == 'momentum_backbone':
            model.start_task(name)  # the query layers are in place; what follows only improves
        if part in parts:
            _fill(module, parts[part], where)
            lines.append(f'{where}: from the file')
        elif part.startswith('momentum'):
            lines.append(f'{where}: not in the file, a copy of the query encoder')
        else:
            raise _no(part)
    found = parts.get('queue', {})
    unknown = {k.partition('.')[0] for k in found} - set(task.queues)
    if unknown:
        raise MultiSSLError(f'the file has queues {sorted(unknown)} that task {name} '
                            f'({type(task).__name__}) has no use for')
    for which, queue in task.queues.items():
        where = f'tasks.{name}.queues.{which}'
        if f'{which}.keys' not in found:
            lines.append(f'{where}: not in the file, random directions')
            continue
        keys = found[f'{which}.keys']
        if keys.shape != queue.keys.shape:
            raise MultiSSLError(
                f'{where}: the file has {keys.size(0)} keys of {keys.size(1)} dimensions, the '
                f'config {queue.keys.size(0)} of {queue.keys.size(1)}; set queue_len and feat_dim '
                f'of task {name} accordingly')
        queue.keys.copy_(keys)
        queue.ptr.copy_(found.get(f'{which}.ptr', torch.zeros(())) % len(queue))
        lines.append(f'{where}: from the file')
    return lines


def _fill_algorithm(model: MultiSSL, name: str, task: AlgorithmTask, state_dict: StateDict
                    ) -> List[str]:
    """An algorithm of MMPretrain: its backbones are the model's, all else keeps its name."""
    feeds = {path: module.role for path, module in task.algorithm.named_modules()
             if isinstance(module, FeatureFeed)}
    parts: Dict[str, StateDict] = {}
    for key, value in state_dict.items():
        feed = next((path for path in feeds if key.startswith(f'{path}.')), None)
        part, key = ('rest', key) if feed is None else (feeds[feed], key[len(feed) + 1:])
        parts.setdefault(part, {})[key] = value
    if 'query' not in parts:
        raise _no('backbone')
    _fill(model.backbone, parts['query'], 'backbone')
    model.start_task(name)
    lines = ['backbone: from the file']
    _fill(task.algorithm, parts.get('rest', {}), f'tasks.{name}.algorithm')
    lines.append(f'tasks.{name}.algorithm: from the file')
    if 'key' in parts:
        _fill(model.momentum_backbone.module, parts['key'], 'momentum_backbone')
        lines.append('momentum_backbone: from the file')
    return lines


def _fill(module: nn.Module, state_dict: Mapping[str, Tensor], where: str) -> None:
    fill(module, state_dict, f'{where}: keys do not fit')


def _no(part: str) -> MultiSSLError:
    return MultiSSLError(f'the file has no {part}; stage 1 needs backbone and neck (to start from '
                         'a backbone alone use its init_cfg)')
