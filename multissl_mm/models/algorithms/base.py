"""What every way of combining pretext tasks has in common."""
from abc import abstractmethod
from math import cos, pi
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

import torch
import torch._functorch.config
from mmengine.dist import get_world_size
from mmengine.logging import MessageHub
from mmengine.model import BaseModel, ModuleDict
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from ...errors import MultiSSLError
from ...registry import MODELS
from ..contrast.momentum import MomentumEncoder
from ..pretext import Features, PretextTask
from ..contrast.shuffle_bn import shuffle, unshuffle

Views = Mapping[str, Tensor]


class _Steps:
    """Counts the steps of all optimizers, which a model is not told of."""

    def __init__(self) -> None:
        self.count = 0
        register_optimizer_step_post_hook(self._step)

    def _step(self, *args: Any) -> None:
        self.count += 1


_steps = _Steps()


class MultiSSL(BaseModel):
    """Owns the backbone, passes each view through it once, and hands every task its features.

    Args:
        backbone (dict): The one encoder; a module that returns a tuple of feature maps.
        tasks (sequence[dict]): Pretext tasks in their order, each with a ``name`` of its own. (A
            list, since MMEngine sorts the keys of dicts when it writes a config.)
        view_names (sequence[str]): Names of the views in the order in which the data pipeline
            puts them out; not needed where it puts out a dict. Defaults to query and key.
        momentum (float | tuple[float, float]): Of the momentum encoder and of the tasks' momentum
            layers, as the papers count it; of a pair the second value is reached at the end of
            the run by a cosine (BYOL). Defaults to 0.999.
        separate_views (bool): Pass each view through the backbone on its own, so that batch norm
            sees one view at a time, as BYOL, SimSiam and Barlow Twins do. By default views of the
            same size share a pass, as in SimCLR.
        channels_last (bool): Keep the weights in the memory format that GPUs and recent CPUs
            convolve fastest in. Defaults to False.
        compile (bool | dict): Compile the backbone, which leaves its keys as they are; a dict
            holds arguments of :func:`torch.compile`. Defaults to False.
        data_preprocessor (dict, optional): See :class:`mmengine.model.BaseModel`.
        init_cfg (dict, optional): See :class:`mmengine.model.BaseModule`.
    """

    #: Called with a step's losses while their graph is alive; hooks that look at gradients set it.
    on_losses: Optional[Callable[[Mapping[str, Tensor]], None]] = None
    #: Whether it learns anything without pretext tasks.
    needs_tasks = True

    def __init__(self,
                 backbone: dict,
                 tasks: Sequence[dict],
                 view_names: Sequence[str] = ('query', 'key'),
                 momentum: Union[float, Tuple[float, float]] = 0.999,
                 separate_views: bool = False,
                 channels_last: bool = False,
                 compile: Union[bool, dict] = False,
                 data_preprocessor: Optional[dict] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.tasks = ModuleDict(dict(build_task(i, cfg) for i, cfg in enumerate(tasks)))
        if len(self.tasks) != len(tasks) or (self.needs_tasks and not tasks):
            raise MultiSSLError('model.tasks needs at least one task and a different name for '
                                f'each, but has {[task.get("name") for task in tasks]}')
        self.view_names = tuple(view_names)
        self.momentum = momentum
        self.separate_views = separate_views
        if any(task.key_views for task in self.tasks.values()):
            self.momentum_backbone = MomentumEncoder(self.backbone)
        self._moved = -1  # number of optimizer steps when the momentum last moved
        if channels_last:
            self.to(memory_format=torch.channels_last)
        if compile:
            _keep_graphs()
            for encoder in (self.backbone, getattr(self, 'momentum_backbone', None)):
                if encoder is not None:
                    encoder.compile(**(compile if isinstance(compile, dict) else {}))
        self.register_load_state_dict_post_hook(_refuse_missing_keys)

    def init_weights(self) -> None:
        super().init_weights()
        for name in self.tasks:
            self.start_task(name)

    def start_task(self, name: str) -> None:
        """Momentum encoder and the task's momentum layers start equal to what they follow."""
        if self.tasks[name].key_views:
            self.momentum_backbone.sync(self.backbone)
        self.tasks[name].reset()

    # ------------------------------------------------------------------ features

    def name_views(self, inputs: Union[Views, Sequence[Tensor]]) -> Views:
        """The views of a batch by name, whichever way the data pipeline packs them."""
        if isinstance(inputs, Mapping):
            return inputs
        if len(inputs) != len(self.view_names):
            raise MultiSSLError(
                f'the data pipeline gives {len(inputs)} views, but model.view_names names '
                f'{len(self.view_names)}: {self.view_names}; make them agree')
        return dict(zip(self.view_names, inputs))

    def encode(self, backbone: nn.Module, views: Views, names: Iterable[str]) -> Features:
        """Features of the named views, in one pass of the backbone per size of view.

        Args:
            backbone (nn.Module): The trained one or a copy of it.
            views (mapping[str, Tensor]): All views, each (N, ...).
            names (iterable[str]): The views that are wanted.

        Returns:
            dict[str, tuple[Tensor]]: The backbone's outputs for each view.
        """
        groups: Dict[Tuple, List[str]] = {}  # what goes through together
        for name in sorted(set(names)):
            if name not in views:
                raise MultiSSLError(f"a task needs the view '{name}', but the batch has "
                                    f'{list(views)}; check model.view_names and the pipeline')
            group = (name, ) if self.separate_views else tuple(views[name].shape[1:])
            groups.setdefault(group, []).append(name)
        feats: Features = {}
        for same in groups.values():
            outs = backbone(torch.cat([views[n] for n in same]) if same[1:] else views[same[0]])
            sizes = [len(views[n]) for n in same]
            split = [out.split(sizes) for out in outs]  # stage -> view -> (N, ...)
            feats.update({n: tuple(stage[i] for stage in split) for i, n in enumerate(same)})
        # What tasks take as it is: a video, ground truth.
        for name in sorted(needed(self.tasks.values(), 'inputs')):
            if name not in views:
                raise MultiSSLError(f"a task needs '{name}' of a batch, but it has {list(views)}; "
                                    'check the pipeline')
            feats[name] = (views[name], )
        return feats

    @torch.no_grad()
    def encode_keys(self, views: Views, tasks: Sequence[PretextTask]) -> Features:
        """Updates everything that moves by momentum, then encodes the key views.

        On several ranks the rows of the key views are shuffled over the ranks before the pass and
        brought back after it (one exchange each way for all tasks).
        """
        names = sorted(needed(tasks, 'key_views'))
        if not names:
            return {}
        self._update_momentum(tasks)
        feats: Features = {}
        for name in names:
            x = views[name]
            if get_world_size() == 1:
                feats[name] = tuple(self.momentum_backbone(x))
            else:
                x, state = shuffle(x)
                feats[name] = unshuffle(self.momentum_backbone(x), state)
        return feats

    def _update_momentum(self, tasks: Sequence[PretextTask]) -> None:
        # Once per step of the optimizer, however many batches its gradient is accumulated over.
        if _steps.count == self._moved:
            return
        self._moved = _steps.count
        momentum = self.current_momentum()
        self.momentum_backbone.update(self.backbone, momentum)
        for task in tasks:
            task.update_momentum(momentum)

    def current_momentum(self) -> float:
        """The momentum of this step."""
        if not isinstance(self.momentum, (tuple, list)):
            return self.momentum
        start, end = self.momentum
        hub = MessageHub.get_current_instance()
        total = hub.get_info('max_iters', None) if 'max_iters' in hub.runtime_info else None
        if not total:
            raise MultiSSLError(f'model.momentum {self.momentum} follows the length of a run, but '
                                'there is no run; give one number')
        return end - (end - start) * (cos(pi * hub.get_info('iter', 0) / total) + 1) / 2

    # ------------------------------------------------------------------ BaseModel's modes

    def extract_feat(self, inputs: Tensor) -> Tuple[Tensor, ...]:
        """Backbone features of images (N, C, H, W)."""
        return self.backbone(inputs)

    def forward(self, inputs: Union[Tensor, Views, Sequence[Tensor]],
                data_samples: Optional[Sequence] = None,
                mode: str = 'tensor') -> Union[Dict[str, Tensor], Tuple[Tensor, ...]]:
        """``loss``: named losses of a batch of views; ``tensor``: backbone features."""
        if mode == 'loss':
            losses = self.loss(self.name_views(inputs), data_samples)
            if self.on_losses is not None:
                self.on_losses(losses)
            return self.combine(losses)
        if mode == 'tensor':
            return self.extract_feat(inputs)
        raise ValueError(f"mode '{mode}' is not one of 'loss', 'tensor': a pretraining model "
                         'predicts nothing')

    @abstractmethod
    def loss(self, views: Views, data_samples: Optional[Sequence]) -> Dict[str, Tensor]:
        """Losses by name, ``<task>.<loss>``."""

    def combine(self, losses: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """What is minimised, from :meth:`loss`: the sum, unless an algorithm says otherwise."""
        return losses


def build_task(index: int, cfg: dict) -> Tuple[str, PretextTask]:
    """Name and module of one entry of ``tasks``.

    Raises:
        MultiSSLError: If it has no name or its type is no pretext task; names the config key.
    """
    cfg = dict(cfg)
    name, kind = cfg.pop('name', None), cfg.get('type')
    if not name or '.' in name:
        raise MultiSSLError(f'model.tasks.{index} ({kind}) needs a name without dots, e.g. '
                            "name='mocov2'")
    try:
        found = kind if isinstance(kind, type) else MODELS.get(str(kind))
    except RuntimeError:  # MMEngine's word for a scope that cannot be imported
        found = None
    if found is None or not issubclass(found, PretextTask):
        known = sorted(n for n, c in MODELS.module_dict.items() if issubclass(c, PretextTask))
        raise MultiSSLError(f"model.tasks.{index}.type: '{kind}' is no pretext task; known in "
                            f'multissl_mm are {", ".join(known)}')
    return name, MODELS.build(cfg)


def needed(tasks: Iterable[PretextTask], which: str) -> Set[str]:
    """Union of the tasks' ``views``, ``key_views`` or ``inputs``."""
    return {view for task in tasks for view in getattr(task, which)}


def prefixed(name: str, losses: Mapping[str, Tensor], weight: float = 1.) -> Dict[str, Tensor]:
    """Losses of one task under names that say whose they are."""
    return {f'{name}.{key}': weight * value if 'loss' in key else value
            for key, value in losses.items()}


def of_task(losses: Mapping[str, Tensor], name: str) -> Dict[str, Tensor]:
    """Those of :func:`prefixed` losses that are of one task and are minimised."""
    return {k: v for k, v in losses.items() if k.startswith(f'{name}.') and 'loss' in k}


def _keep_graphs() -> None:
    # By default compiled code frees what a second backward pass would need: those of PCGrad and of
    # hooks that look at the tasks' gradients.
    config = getattr(torch._functorch, 'config', None)
    if hasattr(config, 'donated_buffer'):
        config.donated_buffer = False


def _refuse_missing_keys(module: nn.Module, incompatible) -> None:
    # MMEngine loads with strict=False, where a misspelt prefix is a silently random backbone.
    missing = [k for k in incompatible.missing_keys if 'num_batches_tracked' not in k]
    if missing:
        raise MultiSSLError(
            f'the checkpoint lacks {len(missing)} keys of {type(module).__name__}: '
            f'{", ".join(missing[:4])}{", ..." if missing[4:] else ""}; was it written by another '
            'config? A stage-1 checkpoint of another code base goes through '
            'tools/model_converters/to_stage1.py')
