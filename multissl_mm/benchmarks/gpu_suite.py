"""Everything about this project that needs a GPU, in one go; in small it runs on the CPU."""
import json
import math
import os
import platform
import signal
import tempfile
import time
import traceback
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from rich.console import Console
from torch import Tensor

from ..engine.hooks import DeferredInfoHook
from ..models.protocols import Staged
from ..runtime import RunOptions, build_runner, prepare_cfg, versions
from ..utils.files import write_atomically
from ..utils.project import project_file
from .loader import measure_loader, write_pictures
from .models import Sizes, device
from .shrunk import Scale, batch, build, picture_config, sound_config, task_configs
from .step_time import measure_step_time
from .timing import quiet

Found = Dict[str, Any]
VIEWS = 'configs/_base_/imagenet_two_views.py'  # that the loader makes
STEPS = 20  # without a wait
#: How far a loss may be from that of the CPU in single precision, relative to it or to 1.
BOUNDS = {'fp32': 2e-3, 'channels_last': 2e-3, 'compile': 2e-3, 'fp16': 2e-2, 'bf16': 6e-2}
PRECISIONS = {'fp16': torch.float16, 'bf16': torch.bfloat16}


class Extent(NamedTuple):
    """How much is done.

    Args:
        parity (Scale): Of the models whose losses are compared with the CPU's.
        steps (Scale): Of the models that must not wait.
        sizes (Sizes): Of the table of steps.
        rounds (int): Of the tables.
        models (tuple[str], optional): Rows of the table of steps; all, by default.
        pictures (int): Of the loader's table.
        compile (dict): Arguments of :func:`torch.compile`.
    """
    parity: Scale = Scale(4, 96, 32)
    steps: Scale = Scale(1, 224, 64)
    sizes: Sizes = Sizes(50, 224, 128)
    rounds: int = 9
    models: Optional[tuple] = None
    pictures: int = 64
    compile: Dict[str, Any] = {}


#: Tiny: the same ways through the code, in seconds on a CPU.
DRY = Extent(Scale(32, 32, 8), Scale(32, 32, 4), Sizes(18, 32, 2, 64, 16), 1, ('multi-task M+D', ),
             2, dict(backend='eager'))


def run_suite(out: Path, on: Optional[str] = None, extent: Extent = Extent(),  # noqa: B008
              seconds: float = 540., only: str = '', console: Optional[Console] = None
              ) -> List[str]:
    """Runs all parts and writes what they find into one JSON file, after every part.

    A part that fails is noted with its traceback and does not keep the others from running.

    Args:
        out (Path): The file: ``{<part>: {'seconds': ..., 'found' or 'error': ...}}``.
        on (str, optional): ``cpu`` or ``cuda``. Defaults to a GPU where there is one.
        extent (Extent): How much is done.
        seconds (float): After which no part is begun any more; that is noted as its error.
        only (str): Runs parts alone whose name has this in it.
        console (Console, optional): Where a line a part is printed.

    Returns:
        list[str]: The parts that failed.
    """
    on, console, begin = device(on), console or Console(), time.monotonic()
    found: Dict[str, Found] = {}
    failed: List[str] = []
    out.parent.mkdir(parents=True, exist_ok=True)
    quiet()
    for name, part in parts(on, extent).items():
        if only not in name:
            continue
        start = time.monotonic()
        try:
            if start - begin > seconds:
                raise TimeoutError(f'not begun: {seconds:g} s are over')
            found[name] = dict(found=part())
        except Exception:
            found[name] = dict(error=traceback.format_exc())
            failed.append(name)
        found[name]['seconds'] = time.monotonic() - start
        write_atomically(out, json.dumps(found, indent=1, default=str))
        console.print(f'{name}: {"failed" if name in failed else "done"} in '
                      f'{found[name]["seconds"]:.1f} s', highlight=False)
    return failed


def parts(on: str, extent: Extent) -> Dict[str, Callable[[], Found]]:
    """By name, from what is asked for first to what takes longest."""
    made: Dict[str, Callable[[], Found]] = {'machine': partial(machine, on)}
    for amp in (False, True):
        made[f'steps in {"bfloat16" if amp else "float32"}'] = partial(steps, on, extent, amp)
    for name, cfg in (('mtl_mocov2_densecl', picture_config), ('il_densecl_mocov2', picture_config),
                      ('mtl_b_c_a', sound_config)):
        made[f'no wait in {name}'] = partial(no_wait, cfg(name, extent.steps), extent.steps, on)
    made['one rank'] = partial(one_rank, extent.parity, on)
    made['kill and resume'] = partial(kill_and_resume, extent.parity, on)
    made['loader'] = partial(loader, extent)
    for cfg in task_configs(extent.parity):
        made[f'parity of {cfg.title}'] = partial(parity, cfg, extent, on)
    return made


def machine(on: str) -> Found:
    """What it runs on."""
    found: Found = dict(versions=versions(), python=platform.python_version(),
                        cores=os.cpu_count(), device=on)
    if on == 'cuda':
        name = torch.cuda.get_device_properties(0)
        found.update(gpu=name.name, memory_gib=name.total_memory / 2**30,
                     cudnn=torch.backends.cudnn.version(), nccl=torch.cuda.nccl.version())
    return found


def steps(on: str, extent: Extent, amp: bool) -> Found:
    """The table of steps: pictures per second, share of the limit, peak memory, ratios."""
    return measure_step_time(extent.sizes, extent.rounds, extent.models, on=on, amp=amp,
                             memory=on == 'cuda', console=Console(quiet=True))._asdict()


def loader(extent: Extent) -> Found:
    """Milliseconds of CPU per picture, by way."""
    return measure_loader(project_file(VIEWS), count=extent.pictures, rounds=min(extent.rounds, 5),
                          console=Console(quiet=True))


def optimizer_of(cfg: Config, model: Any) -> Any:
    """The config's, whose norms of gradients nobody reads in a step."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    DeferredInfoHook().take_norms(wrapper)
    return wrapper


def no_wait(cfg: Config, scale: Scale, on: str) -> Found:
    """Steps in bfloat16, of the batch as the loader gives it to the new weights.

    On a GPU, CUDA refuses everything that the host would wait for, and memory must not grow.
    """
    model = build(cfg).to(on)
    if isinstance(model, Staged):
        model.set_stage(1)
    optimizer, data = optimizer_of(cfg, model), batch(cfg, scale, on)

    def step() -> None:
        with torch.autocast(on, torch.bfloat16):
            out = model(**model.data_preprocessor(data, True), mode='loss')
            loss, _ = model.parse_losses(out)
        optimizer.update_params(loss)

    for _ in range(3):  # algorithms are chosen, states made
        step()
    before = allocated(on)
    with refusing_waits(on):
        start = time.perf_counter()  # what went before is through
        for _ in range(STEPS):
            step()
    grown = allocated(on) - before
    if grown > 1 and on == 'cuda':
        raise AssertionError(f'{STEPS} steps leave {grown:.1f} MiB more')
    rate = STEPS * scale.batch_size / (time.perf_counter() - start)
    return dict(steps=STEPS, watched=on == 'cuda', grown_mib=grown, pictures_per_second=rate)


@contextmanager
def refusing_waits(on: str) -> Iterator[None]:
    """Everything that the host would wait for is an error; on a GPU alone."""
    if on == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode('error')
    try:
        yield
    finally:
        if on == 'cuda':
            torch.cuda.set_sync_debug_mode('default')
            torch.cuda.synchronize()


def allocated(on: str) -> float:
    """MiB of tensors on a GPU; nobody counts those on the CPU."""
    return torch.cuda.memory_allocated() / 2**20 if on == 'cuda' else 0.


def parity(cfg: Config, extent: Extent, on: str) -> Found:
    """Losses of a first step, by way, beside the CPU's in single precision.

    Raises:
        AssertionError: If one is too far from them, or a gradient is not finite.
    """
    reference = build(cfg)
    weights, data = deepcopy(reference.state_dict()), batch(cfg, extent.parity)
    wanted = losses(reference, data, 'cpu')
    found: Found = dict(cpu=wanted)
    # Half precision is a GPU's: on the CPU autocast leaves exponentials and norms in it.
    ways = [way for way in BOUNDS if on == 'cuda' or way != 'fp16']
    tf32, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        for way in ways:
            options = {'compile': extent.compile or True} if way == 'compile' else \
                {'channels_last': True} if way == 'channels_last' else {}
            model = build(cfg, **options)
            model.load_state_dict(weights)
            found[way] = losses(model.to(on), data, on, PRECISIONS.get(way))
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
    far = [f'{name} by {way} is {found[way][name]:.5g}, {value:.5g} on the CPU'
           for way in ways for name, value in wanted.items()
           if not abs(found[way][name] - value) <= BOUNDS[way] * max(1, abs(value))]
    if far:
        raise AssertionError('; '.join(far))
    return found


def losses(model: Any, data: Found, on: str, dtype: Optional[torch.dtype] = None
           ) -> Dict[str, float]:
    """Of a forward and a backward pass, by name."""
    # Convolutions of oneDNN in bfloat16, of one channel, give on a CPU what they like, and NaN.
    with torch.backends.mkldnn.flags(enabled=dtype is None):
        with torch.autocast(on, dtype or torch.bfloat16, enabled=dtype is not None):
            out = model(**model.data_preprocessor(data, True), mode='loss')
            loss, _ = model.parse_losses(out)
        loss.backward()
    norms = {name: float(p.grad.norm()) for name, p in model.named_parameters()
             if p.grad is not None}
    if not norms or not all(map(math.isfinite, norms.values())):
        raise AssertionError(f'gradients in {dtype} on {on} are none, or not finite: '
                             f'{[name for name in norms if not math.isfinite(norms[name])][:9]}')
    return {name: float(value.detach().mean()) for name, value in out.losses.items()}


def one_rank(scale: Scale, on: str) -> Found:
    """Steps behind a process group (NCCL on a GPU, else gloo) learn what they do without one."""
    cfg = picture_config('mtl_mocov2_densecl', scale)

    def learn(wrap: Callable[[Any], Any]) -> List[float]:
        model = build(cfg).to(on)
        optimizer, wrapped = optimizer_of(cfg, model), wrap(model)
        return [float(wrapped.train_step(data, optimizer)['loss'].detach()) for _ in range(3)]

    data, backend = batch(cfg, scale, on), 'nccl' if on == 'cuda' else 'gloo'
    alone = learn(lambda model: model)
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        total = torch.ones(1, device=on)
        dist.all_reduce(total)
        behind = learn(partial(MMDistributedDataParallel,
                               device_ids=[0] if on == 'cuda' else None, broadcast_buffers=False))
    finally:
        dist.destroy_process_group()
    if total != 1 or not all(abs(a - b) <= 1e-2 * a for a, b in zip(alone, behind)):
        raise AssertionError(f'losses of {alone} become {behind} behind {backend}')
    return dict(backend=backend, alone=alone, behind=behind)


class Dying(Hook):
    """Kills its process after a step, as a cluster might.

    Args:
        at (int): Which, from 1.
    """

    def __init__(self, at: int) -> None:
        self.at = at

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Called by the runner."""
        if runner.iter + 1 == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_and_resume(scale: Scale, on: str) -> Found:
    """A run that is killed in its second epoch and resumed ends as one that is not.

    On the CPU to the last bit. A GPU adds in any order: there weights may differ by 1 % of their
    norm.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / 'train').mkdir()
        write_pictures(folder / 'train', 2 * scale.batch_size)
        whole = _train(folder, 'whole', scale, on)
        # CUDA does not survive a fork; without it that is quicker.
        context: Any = get_context('spawn' if on == 'cuda' else 'fork')
        child = context.Process(target=_train, args=(folder, 'broken', scale, on, 3))
        child.start()
        child.join(240)
        if child.exitcode != -signal.SIGKILL:
            child.kill()
            raise AssertionError(f'the run was to be killed, and ended with {child.exitcode}')
        left = sorted(path.name for path in (folder / 'broken').glob('*.pth'))
        resumed = _train(folder, 'broken', scale, on, resume='auto')
    floats = [key for key, value in whole.items() if value.is_floating_point()]
    away = max(float((whole[key] - resumed[key]).norm() / whole[key].norm().clamp(min=1e-3))
               for key in floats)
    if left != ['epoch_1.pth'] or not away <= (1e-2 if on == 'cuda' else 0):
        raise AssertionError(f'{left} were left; weights end {away:.2g} of their norm away')
    return dict(left=left, away=away)


def _train(folder: Path, name: str, scale: Scale, on: str, kill_at: int = 0,
           resume: Optional[str] = None) -> Dict[str, Tensor]:
    """Two epochs of two steps; the weights at their end, on the CPU."""
    if on == 'cpu':
        torch.set_num_threads(1)  # others do not survive a fork
    cfg = picture_config('mocov2', scale)
    dataset = cfg.train_dataloader.dataset.dataset
    for step in dataset.pipeline:
        if 'transforms' in step:
            step.transforms[0][0].scale = scale.size
    dataset.update(data_root=str(folder))
    cfg.merge_from_dict(dict(
        experiment_name=f'{name}_{kill_at}_{resume}', log_level='ERROR', auto_scale_lr=None,
        randomness=dict(seed=0), env_cfg=dict(cudnn_benchmark=False),
        train_dataloader=dict(batch_size=scale.batch_size, num_workers=0),
        default_hooks=dict(checkpoint=dict(interval=1))))
    cfg.model.tasks[0].queue_len = scale.batch_size
    cfg.train_cfg.max_epochs = 2
    options = RunOptions('config.py', work_dir=str(folder / name), resume=resume)
    runner = build_runner(prepare_cfg(cfg, options), options)
    if kill_at:
        runner.register_hook(Dying(kill_at), priority='LOWEST')
    runner.train()
    return {key: value.cpu() for key, value in runner.model.state_dict().items()}
