"""One task alone is MMPretrain's algorithm (losses and weights after 5 steps to 1e-5)."""
import pytest
import tiny
import torch
from mmengine.registry import MODELS

STEPS, QUEUE, DIM = 5, 64, 16
# Wider than the other tests' backbone: a very narrow one blows rounding errors up.
BACKBONE = dict(tiny.backbone(), base_channels=32)
TASKS = {n: dict(t, neck=dict(t['neck'], in_channels=256))
         for n, t in dict(MoCo=tiny.moco_task(QUEUE), DenseCL=tiny.densecl_task(QUEUE)).items()}


def reference(name, neck):
    return MODELS.build(dict(
        type=f'mmpretrain.{name}', backbone=BACKBONE, queue_len=QUEUE, feat_dim=DIM,
        momentum=0.01,  # MMPretrain counts momentum the other way round
        neck=neck,
        head=dict(type='mmpretrain.ContrastiveHead', temperature=.2,
                  loss=dict(type='mmpretrain.CrossEntropyLoss'))))


@pytest.mark.parametrize('name', ['MoCo', 'DenseCL'])
def test_parity_with_mmpretrain(scope, name):
    neck, task = TASKS[name]['neck'], TASKS[name]
    torch.manual_seed(0)
    theirs = reference(name, neck).train()
    theirs.init_weights()
    ours = MODELS.build(dict(type='multissl_mm.MultiTask', backbone=BACKBONE,
                             momentum=0.99, tasks=[dict(task, name='task')])).train()
    mine = ours.tasks['task']
    ours.backbone.load_state_dict(theirs.backbone.state_dict())
    mine.neck.load_state_dict(theirs.neck.state_dict())
    ours.start_task('task')
    mine.queues['global'].keys.copy_(theirs.queue.t())
    if name == 'DenseCL':
        mine.queues['dense'].keys.copy_(theirs.queue2.t())

    optimizers = [torch.optim.SGD(m.parameters(), .03, .9, weight_decay=1e-4)
                  for m in (theirs, ours)]
    for _ in range(STEPS):
        views = [torch.randn(8, 3, 64, 64) for _ in range(2)]
        results = [theirs(views, None, mode='loss'), ours(views, None, mode='loss').losses]
        for losses, optimizer in zip(results, optimizers):
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
        for key, value in results[0].items():
            assert abs(results[1][f'task.{key}'].item() - value.item()) < 1e-5

    close = dict(atol=1e-5, rtol=0)
    pairs = [(theirs.backbone, ours.backbone), (theirs.neck, mine.neck),
             (theirs.encoder_k.module[0], ours.momentum_backbone.module),
             (theirs.encoder_k.module[1], mine.momentum_neck.module)]
    for a, b in pairs:
        for p, q in zip(a.parameters(), b.parameters()):
            torch.testing.assert_close(p, q, **close)
    torch.testing.assert_close(theirs.queue.t(), mine.queues['global'].keys, **close)
    if name == 'DenseCL':
        torch.testing.assert_close(theirs.queue2.t(), mine.queues['dense'].keys, **close)
