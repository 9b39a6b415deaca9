"""Two ranks that see half of a batch each learn what one rank learns on the whole batch.

Whatever spans ranks is wrong if it fails here: keys of the queues and their order, momentum, the
positives and candidates of contrastive losses, PCGrad's comparison of gradients, CaSSLe's
predictors. Batch norms are synchronised, so that nothing else depends on how batches are dealt.
"""
import copy

import pytest
import tiny
import torch
from mmengine.dist import get_dist_info
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS
from ranks import on_ranks, sync_norms

M, D, S = (dict(task, name=name) for name, task in (
    ('m', tiny.moco_task(20)), ('d', tiny.densecl_task(20)), ('s', tiny.simclr_task())))
EXPERTS = [dict(name=n, backbone=tiny.backbone()) for n in 'ab']
STEPS = 3


def build(kind, **options):
    torch.manual_seed(0)
    model = MODELS.build(dict(type=f'multissl_mm.{kind}', backbone=tiny.backbone(),
                              momentum=.5, **options))
    model.init_weights()
    if kind == 'IncrementalLearning':
        first, second = model.task_names
        model.finish_task(first)
        model.set_stage(1)
        model.start_task(second)
    return sync_norms(model)


PREDICTIVE = dict(type='multissl_mm.PredictiveDistillation', in_channels=tiny.CHANNELS,
                  hid_channels=32)
CASSLE = dict(type='multissl_mm.CaSSLe', feat_dim=16, hid_channels=32)
INFO_NCE = dict(head=dict(type='multissl_mm.QueueContrastHead', distill='info_nce'))
OTHER = dict(type='multissl_mm.ResponseDistillation', view='other')
MODELS_OF = {
    'fixed': dict(kind='MultiTask', tasks=[M, D]),
    'uncertainty': dict(kind='MultiTask', tasks=[M, D], weighting='uncertainty'),
    'pcgrad': dict(kind='MultiTask', tasks=[M, D], weighting='pcgrad',
                   loss_weights=dict(d=-1.)),  # so that there is a conflict
    'responses': dict(kind='IncrementalLearning', tasks=[M, D], distill_weights=20.),
    'responses of an algorithm': dict(kind='IncrementalLearning', tasks=[S, M],
                                      distill_weights=20.),
    'features': dict(kind='IncrementalLearning', tasks=[M, D], distill_weights=20.,
                     distill=dict(type='multissl_mm.FeatureDistillation')),
    'predicted features': dict(kind='IncrementalLearning', tasks=[M, D], distill_weights=20.,
                               distill=PREDICTIVE),
    'cassle': dict(kind='IncrementalLearning', tasks=[M, D], distill_weights=20., distill=CASSLE),
    'cassle of an algorithm': dict(kind='IncrementalLearning', tasks=[S, M], distill=CASSLE),
    'cassle of positions': dict(kind='IncrementalLearning', tasks=[D, M], distill=CASSLE),
    'info_nce': dict(kind='IncrementalLearning', tasks=[dict(D, **INFO_NCE), M],
                     distill_weights=20., distill=OTHER),
    'info_nce of an algorithm': dict(kind='IncrementalLearning', distill_weights=3.,
                                     tasks=[dict(S, distill='info_nce'), M], distill=OTHER),
    'weights by gradients': dict(
        kind='IncrementalLearning', tasks=[dict(M, **INFO_NCE), D],
        distill_weights=dict(type='multissl_mm.RatioWeights', interval=2, ratio=.5)),
    'euclidean': dict(kind='ExpertDistillation', experts=EXPERTS),
    'contrastive': dict(kind='ExpertDistillation', experts=EXPERTS, loss='contrastive'),
}


def learn(model, batches):
    """Some steps as a run makes them: values of every step, gradients of the last, and the end."""
    rank, world = get_dist_info()
    run, values = model.train(), []
    if world > 1:
        run = MMDistributedDataParallel(model, broadcast_buffers=False, find_unused_parameters=True)
    optimizer = OptimWrapper(torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], .05, .9))
    for batch in batches:
        data = dict(inputs=[view.chunk(world)[rank] for view in batch])
        values.append({k: v.item() for k, v in run.train_step(data, optimizer).items()})
    gradients = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    return values, gradients, model.state_dict()


@pytest.mark.parametrize('name', list(MODELS_OF))
def test_two_ranks_learn_what_one_does_on_the_whole_batch(scope, tmp_path, name):
    model = build(**MODELS_OF[name])
    batches = torch.randn(STEPS, 2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    start = copy.deepcopy(model.state_dict())
    ranks = on_ranks(tmp_path, learn, model, batches)
    values, gradients, state = learn(model, batches)

    for step, expected in enumerate(values):
        for key, value in expected.items():  # of its own samples on each rank
            found = sum(rank[0][step][key] for rank in ranks) / len(ranks)
            assert found == pytest.approx(value, rel=1e-3, abs=1e-4), (step, key)
    for _, found, found_state in ranks:
        assert found.keys() == gradients.keys()
        for key, value in gradients.items():
            assert (found[key] - value).norm() <= 1e-2 * value.norm() + 1e-4, key
        for key, value in state.items():
            moved = (value - start[key]).double().norm()
            assert (found_state[key] - value).double().norm() <= 1e-2 * moved, key
