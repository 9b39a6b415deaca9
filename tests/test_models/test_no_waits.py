"""A step of every full-size config on a GPU that is not there: the host never waits for it."""
import sys
from typing import Any, Container, Dict, List

import mmengine.dist.dist
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, OPTIMIZERS
from mmengine.structures import BaseDataElement
from mmengine.utils import digit_version
from no_waits import NoWaits, backward, grad, move
from tiny import CONFIGS
from torch._subclasses import FakeTensor, FakeTensorMode
from torch._subclasses.fake_tensor import DynamicOutputShapeException
from torch.testing._internal.distributed.fake_pg import FakeStore

from multissl_mm.datasets.keyed import KeptRows
from multissl_mm.engine.hooks import DeferredInfoHook
from multissl_mm.utils.device import to_device
from multissl_mm.utils.views import CroppedView, ViewParams

# Copies of FakeTensors.
pytestmark = [
    pytest.mark.filterwarnings('ignore:Accessing the data pointer of FakeTensor'),
    pytest.mark.skipif(digit_version(torch.__version__) < (2, 6), reason='before torch 2.6 a fake '
                       'GPU asks for the driver of a real one')]

NAMES = [str(path.relative_to(CONFIGS)) for folder in ('.', 'sound')
         for path in sorted((CONFIGS / folder).glob('*.py'))
         # Nothing to train, and MMPretrain's classifier, in which nothing is ours.
         if not path.name.startswith('concat') and (folder, path.stem) != ('.', 'supervised')]
#: Waits that stay, by where they are, with why.
ALLOWED = {
    'mmengine/model/averaged_model.py': "the average in BYOL's target projector asks its counter",
    'mmpretrain/models/selfsup/simclr.py': (
        'SimCLR takes its negatives by a mask, so their number has to be asked for'),
    'mmpretrain/models/heads/contrastive_head.py': 'copies labels of SimCLR, all zero',
}


@pytest.fixture(autouse=True)
def gpu(monkeypatch, scope):
    """Autocast and gradients for CUDA, although there is none."""
    monkeypatch.setattr(torch.autograd, 'grad', grad)
    # What optimizers and the clipping of gradients do by default with parameters on a GPU.
    for module in (sys.modules[torch.optim.Optimizer.__module__], torch.utils._foreach_utils):
        monkeypatch.setattr(module, '_foreach_supported_types', [FakeTensor], raising=False)
    monkeypatch.setattr(torch.cuda.amp.common, 'amp_definitely_not_available', lambda: False)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda *args: True)


def build(cfg: Config, fake: FakeTensorMode) -> Any:
    """The model of a config on a GPU, without memory for its weights."""
    if isinstance(cfg.model.get('momentum'), tuple):
        cfg.model.momentum = cfg.model.momentum[0]  # the other one is of a run's end
    with fake, NoWaits():
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
        return move(model, 'cuda').train()


def batch(cfg: Config, watch: NoWaits) -> Dict[str, Any]:
    """What the loader gives: zeros, pinned if the config says so."""
    n = cfg.train_dataloader.batch_size
    assert cfg.train_dataloader.pin_memory
    scenes = torch.arange(n) // 8
    samples = [BaseDataElement(metainfo=dict(sample_idx=i, replica=0, seed=0, scene=int(scenes[i])))
               for i in range(n)]
    if cfg.data_preprocessor.type.endswith('SoundPreprocessor'):
        inputs: Any = dict(
            clip=torch.zeros(n, 2, 96000), other=torch.zeros(n, 2, 96000), gap=torch.zeros(n),
            flow=torch.zeros(n, 8, 2, 64, 256), foreground=torch.zeros(n, 8, 3, 64, 256),
            rotation=torch.zeros(n, dtype=torch.long), scene=scenes, classes=torch.zeros(n, 5))
        return dict(inputs={k: watch.pin(v) for k, v in inputs.items()}, data_samples=samples)
    params = torch.tensor([ViewParams(), ViewParams(3., 1.2, .8, 1.1, .1, 1., 1.5, 1.)])
    inputs = [CroppedView(watch.pin(torch.zeros(n, 3, 224, 224, dtype=torch.uint8)),
                          params.repeat(n // 2, 1))
              for _ in cfg.model.get('view_names', ('query', 'key'))]
    return dict(inputs=inputs, data_samples=samples)


def bring_responses(model: Any, data: Dict[str, Any], names: List[str]) -> None:
    """What the loader's workers would read from banks; zeros of the responses' shapes."""
    views = model.name_views(model.data_preprocessor(data, True)['inputs'])
    rows = {name: {key: np.zeros(value.shape[1:], np.float16) for key, value in
                   model.current_responses(name, views, data['data_samples']).items()}
            for name in names}
    for sample in data['data_samples']:
        sample.set_field(KeptRows(rows), 'kept', field_type='metainfo')


@pytest.mark.parametrize('wait', [
    lambda x: torch.arange(4).to(x.device),
    lambda x: torch.arange(4).to(x.device, non_blocking=True),  # not pinned
    lambda x: torch.zeros(4, device=x.device).copy_(torch.zeros(4)),
    lambda x: torch.tensor([1, 2], device=x.device),
    lambda x: x[[1, 0]],
    lambda x: x[torch.zeros(8, dtype=torch.bool, device=x.device)],
    lambda x: bool((x > 0).any()),
    lambda x: x.sum().item(),
    lambda x: x.cpu(),
])
def test_waits_are_seen(wait):
    """What this file relies on; and no wait is seen where there is none."""
    with FakeTensorMode(allow_non_fake_inputs=True), NoWaits() as watch:
        x = to_device(torch.zeros(8), 'cuda')
        assert torch.randperm(4).tolist() and torch.arange(4).sum().item() == 6  # on the host
        x[to_device(torch.arange(4), x.device)] += 1 / x.sum()
        assert not watch.waits
        try:
            wait(x)
        except DynamicOutputShapeException:  # goes on no further
            pass
    assert len(watch.waits) == 1 and watch.waits[0].startswith('tests/'), watch.waits


@pytest.fixture
def eight_ranks(monkeypatch):
    """This process is one of eight, whose exchanges move nothing."""
    torch.distributed.init_process_group('fake', rank=0, world_size=8, store=FakeStore())
    # MMEngine would bring what it sends to the CPU for any backend that it does not know.
    monkeypatch.setattr(mmengine.dist.dist, 'get_comm_device', lambda group: torch.device('cuda'))
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize('name', ['mtl_mocov2_densecl.py', 'sound/contrastive-dist_b_c.py'])
def test_no_rank_waits_for_the_device(eight_ranks, name):
    """Shuffling batch norm and the exchange of keys and latents."""
    check(Config.fromfile(CONFIGS / name), ALLOWED)


@pytest.mark.parametrize('name', NAMES)
def test_no_step_waits_for_the_device(name):
    check(Config.fromfile(CONFIGS / name), ALLOWED)


def test_views_of_workers_are_normalised_without_a_wait():
    """MMPretrain swaps channels by a list, which is copied to the GPU each time."""
    cfg = Config.fromfile(CONFIGS / '_base_' / 'imagenet_worker_views.py')
    with FakeTensorMode(allow_non_fake_inputs=True), NoWaits() as watch:
        preprocessor = move(MODELS.build(cfg.data_preprocessor), 'cuda')
        watch.waits.clear()
        pictures = [watch.pin(torch.zeros(2, 3, 24, 24, dtype=torch.uint8)) for _ in range(2)]
        views = preprocessor(dict(inputs=pictures, data_samples=None), True)['inputs']
        assert all(view.is_cuda and view.dtype == torch.float32 for view in views)
    assert preprocessor.to_rgb and not watch.waits


@pytest.mark.parametrize('kind, waits', [('SGD', 0), ('Adam', 0), ('AdamW', 0), ('LARS', 2 * 40),
                                         ('Lamb', 2)])
def test_how_optimizers_go_through_parameters(kind, waits):
    """What docs/performance.md says: those of torch all at once, MMPretrain's one by one."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        params = [torch.nn.Parameter(torch.zeros(4, device='cuda')) for _ in range(40)]
        for param in params:
            param.grad = torch.zeros_like(param)
        optimizer = OPTIMIZERS.build(dict(type=kind, params=params, lr=.1))
        with NoWaits():
            optimizer.step()  # makes its state
        with NoWaits() as watch:
            optimizer.step()
    assert len(watch.waits) == waits, watch.waits
    assert (watch.calls < 30) == (kind not in ('LARS', 'Lamb'))


def check(cfg: Config, allowed: Container[str] = ()) -> None:
    """Forward and backward of every stage."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    model = build(cfg, fake)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    DeferredInfoHook().take_norms(optimizer)
    for stage in range(len(cfg.train_cfg.get('stages', [0]))):
        with fake, NoWaits(allowed) as watch:
            data = batch(cfg, watch)
            if hasattr(model, 'set_stage'):
                model.set_stage(stage)
            names = getattr(model, 'task_names', getattr(model, 'expert_names', []))
            kept = names[:stage] if 'stages' in cfg.train_cfg else names
            if getattr(model, 'responses', None) is not None and model.responses.stored:
                bring_responses(model, data, kept)
            for dtype in (torch.float16, torch.bfloat16):
                with torch.autocast('cuda', dtype):
                    out = model(**model.data_preprocessor(data, True), mode='loss')
                    loss, _ = model.parse_losses(out)
            gradients = backward(loss)
            assert gradients and all(g.is_cuda for g in gradients.values())
            for param, gradient in gradients.items():
                param.grad = gradient
            optimizer.step()
            assert any(op.startswith('_foreach_add_') for op in watch.seen)
            before = watch.calls
            optimizer.step()  # the first one makes its state
            # All parameters at once, however many there are; of MMEngine's groups one by one.
            grouped = 'paramwise_cfg' in cfg.optim_wrapper
            assert grouped or watch.calls - before < 30
        assert not watch.waits, '\n'.join(sorted(set(watch.waits)))
