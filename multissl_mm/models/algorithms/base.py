"""What every way of combining pretext tasks has in common."""
from abc import abstractmethod
from collections import OrderedDict
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
from weakref import WeakSet

import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel, ModuleDict
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from ...errors import MultiSSLError
from ...registry import MODELS
from ...utils.model import total
from ..acceleration import accelerate
from ..contrast import MomentumEncoder, shuffle, unshuffle
from ..pretext import Features, Outputs, PretextTask, TaskBatch, TaskOutput, flatten
from ..pretext.base import Keys, behind_layers
from ..pretext.build import build_task

Views = Mapping[str, Tensor]

#: Models that are told when an optimizer has made a step. Neither MMEngine nor a distributed
#: wrapper tells a model of its optimizer, but every step ends in this hook of torch: those of a
#: plain loop, too, and not those that mixed precision skips.
_models: 'WeakSet[MultiSSL]' = WeakSet()


def _after_optimizer_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    for model in list(_models):
        model.count_step(optimizer)


register_optimizer_step_post_hook(_after_optimizer_step)


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

    #: Called with a step's outputs by task while their graph is alive; hooks that look at gradients
    #: set it.
    on_outputs: Optional[Callable[[Mapping[str, TaskOutput]], None]] = None
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
        #: None where no task has key views.
        self.momentum_backbone: Any = MomentumEncoder(self.backbone) if any(
            task.key_views for task in self.tasks.values()) else None
        self._steps, self._moved_at = 0, -1  # of the optimizer; when the momentum last moved
        _models.add(self)
        self._channels_last, self._compile = channels_last, compile
        self.accelerate(self, encoders=[
            encoder for encoder in (self.backbone, self.momentum_backbone) if encoder is not None])
        self.register_load_state_dict_post_hook(_refuse_missing_keys)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        _models.add(self)  # a copy has an optimizer of its own

    def accelerate(self, *modules: nn.Module, encoders: Iterable[nn.Module] = ()) -> None:
        """Applies ``channels_last`` to modules and ``compile`` to encoders, as to the backbone.

        For what an algorithm adds to it: a copy of a compiled module is not compiled.
        """
        accelerate(modules, encoders, self._channels_last, self._compile)

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
        names = set(names)
        _require(views, names)
        groups: Dict[Tuple, List[str]] = {}  # what goes through together
        for name in sorted(names):
            group = (name, ) if self.separate_views else tuple(views[name].shape[1:])
            groups.setdefault(group, []).append(name)
        feats: Features = {}
        for same in groups.values():
            outs = backbone(torch.cat([views[n] for n in same]) if same[1:] else views[same[0]])
            sizes = [len(views[n]) for n in same]
            split = [out.split(sizes) for out in outs]  # stage -> view -> (N, ...)
            feats.update({n: tuple(stage[i] for stage in split) for i, n in enumerate(same)})
        return feats

    def make(self, views: Views, samples: Optional[Sequence],
             tasks: Iterable[PretextTask]) -> Views:
        """The views of a batch and what the tasks make of them (:meth:`PretextTask.make`)."""
        made: Dict[str, Tensor] = dict(views)
        for task in tasks:
            _require(views, task.made_from)
            new = task.make(views, samples)
            taken = sorted(set(new) & set(made))
            if taken:
                raise MultiSSLError(f'{type(task).__name__} makes {", ".join(taken)}, which the '
                                    'batch has already, from the pipeline or another task; give it '
                                    'another name')
            made.update(new)
        return made

    def batch(self, views: Views, samples: Optional[Sequence], tasks: Sequence[PretextTask],
              backbone: Optional[nn.Module] = None,
              names: Optional[Iterable[str]] = None) -> TaskBatch:
        """What tasks need to respond: features and inputs, of the named tasks alone.

        Args:
            views (mapping[str, Tensor]): Of :meth:`name_views`, each (N, ...).
            samples (sequence, optional): N elements.
            tasks (sequence[PretextTask]): Those that will see the batch.
            backbone (nn.Module, optional): A copy of the backbone to encode with instead.
            names (iterable[str], optional): Views to encode instead of those of the tasks.
        """
        return self._batch(self.make(views, samples, tasks), samples, tasks, backbone, names)

    def learning_batch(self, views: Views, samples: Optional[Sequence],
                       learned: Sequence[PretextTask], kept: Sequence[PretextTask] = (),
                       more: Iterable[str] = (), made: Optional[Views] = None) -> TaskBatch:
        """:meth:`batch` of a training step, with key features for the tasks that learn.

        Everything of these tasks that moves by momentum moves first, if the optimizer has made a
        step. Tasks that are only kept bring no key views. ``more`` views are encoded, too. ``made``
        is what :meth:`make` gave for all of these tasks, where it was called before.
        """
        tasks = [*kept, *learned]
        views = self.make(views, samples, tasks) if made is None else made
        batch = self._batch(views, samples, tasks, names={*needed(tasks, 'views'), *more})
        self._update_momentum(learned)
        batch.keys = self.encode_keys(views, learned)
        return batch

    def _batch(self, made: Views, samples: Optional[Sequence], tasks: Sequence[PretextTask],
               backbone: Optional[nn.Module] = None,
               names: Optional[Iterable[str]] = None) -> TaskBatch:
        inputs = needed(tasks, 'inputs')
        _require(made, inputs)
        return TaskBatch(
            features=self.encode(self.backbone if backbone is None else backbone, made,
                                 needed(tasks, 'views') if names is None else names),
            inputs={name: made[name] for name in inputs}, samples=samples)

    @torch.no_grad()
    def encode_keys(self, views: Views, tasks: Sequence[PretextTask]) -> Keys:
        """What tasks take of their key views: momentum features, or what their layers make of them.

        On several ranks the rows of the key views are shuffled over the ranks before the pass, and
        what is taken of them comes back (one exchange each way for all tasks and views).
        """
        names = sorted(needed(tasks, 'key_views'))
        _require(views, names)
        dealt, state = shuffle([views[name] for name in names])
        keys = behind_layers(tasks, {
            name: tuple(self.momentum_backbone(x)) for name, x in zip(names, dealt)})
        home = iter(unshuffle([x for feats in keys.values() for f in feats.values() for x in f],
                              state))
        return {layers: {name: tuple(next(home) for _ in f) for name, f in feats.items()}
                for layers, feats in keys.items()}

    # ------------------------------------------------------------------ momentum

    def count_step(self, optimizer: Optimizer) -> None:
        """Notes a step of an optimizer, if it is this model's."""
        own = next((p for p in self.parameters() if p.requires_grad), None)
        if any(own is p for group in optimizer.param_groups for p in group['params']):
            self._steps += 1

    def _update_momentum(self, tasks: Sequence[PretextTask]) -> None:
        # Once per step of the optimizer, however many batches its gradient is accumulated over.
        if self._steps == self._moved_at:
            return
        self._moved_at = self._steps
        self.move_copies(tasks)

    def move_copies(self, tasks: Sequence[PretextTask]) -> None:
        """Moves what follows by momentum, for tasks that learn; once per step."""
        momentum = self.current_momentum()
        if needed(tasks, 'key_views'):
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

    def forward(self, inputs: Any,
                data_samples: Optional[Sequence] = None,
                mode: str = 'tensor') -> Union[TaskOutput, Tuple[Tensor, ...]]:
        """What MMEngine calls.

        Args:
            inputs (mapping[str, Tensor] | sequence[Tensor] | Tensor): For ``loss`` the views of a
                batch, each (N, ...); for ``tensor`` pictures or spectrograms (N, C, H, W).
            data_samples (sequence, optional): N elements.
            mode (str): ``loss``: losses and metrics; ``tensor``: backbone features.
        """
        if mode == 'loss':
            outputs = self.loss(self.name_views(inputs), data_samples)
            if self.on_outputs is not None:
                self.on_outputs(outputs)
            return self.combine(outputs)
        if mode == 'tensor':
            return self.extract_feat(inputs)
        raise ValueError(f"mode '{mode}' is not one of 'loss', 'tensor': a pretraining model "
                         'predicts nothing')

    @abstractmethod
    def loss(self, views: Views, samples: Optional[Sequence]) -> Outputs:
        """What every active task gives, its weight included."""

    def combine(self, outputs: Outputs) -> TaskOutput:
        """What is minimised (summed) and watched, by ``<task>.<name>``; as it is by default."""
        return flatten(outputs)

    def parse_losses(self, losses: Union[TaskOutput, Dict[str, Tensor]]
                     ) -> Tuple[Tensor, Dict[str, Tensor]]:
        """The sum of what is minimised, and everything for the log.

        MMEngine tells losses by their names; here they stand apart (:class:`TaskOutput`), so that a
        task may be called ``align_loss``.
        """
        if not isinstance(losses, TaskOutput):
            return super().parse_losses(losses)
        if not losses.losses:
            raise MultiSSLError(f'no task of {type(self).__name__} gives a loss, so nothing can be '
                                'learned; see TaskOutput')
        means = {name: value.mean() for name, value in losses.losses.items()}
        loss = total(means.values())
        return loss, OrderedDict(loss=loss, **means, **losses.metrics)


def needed(tasks: Iterable[PretextTask], which: str) -> Set[str]:
    """Union of the tasks' ``views``, ``key_views`` or ``inputs``."""
    return {name for task in tasks for name in getattr(task, which)}


def _require(views: Views, names: Iterable[str]) -> None:
    missing = sorted(set(names) - set(views))
    if missing:
        raise MultiSSLError(f'a task needs {", ".join(map(repr, missing))} of a batch, but it has '
                            f'{list(views)}; check model.view_names and the pipeline')


def _refuse_missing_keys(module: nn.Module, incompatible: Any) -> None:
    # MMEngine loads with strict=False, where a misspelt prefix is a silently random backbone.
    missing = [k for k in incompatible.missing_keys if 'num_batches_tracked' not in k]
    if missing:
        raise MultiSSLError(
            f'the checkpoint lacks {len(missing)} keys of {type(module).__name__}: '
            f'{", ".join(missing[:4])}{", ..." if missing[4:] else ""}; was it written by another '
            'config? A stage-1 checkpoint of another code base goes through '
            'tools/model_converters/to_stage1.py')
