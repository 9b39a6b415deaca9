"""Tasks and an algorithm in a plain PyTorch loop: no runner, no hooks, no config file.

    python examples/plain_pytorch.py

Stage 1 learns MoCo v2, stage 2 DenseCL while a frozen teacher keeps MoCo v2's responses; on 64
pictures of simulated streets, in a few seconds on a CPU. (At first the losses rise: a task starts
with a queue of random directions, which real keys replace.)
"""
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import Tensor
from torchvision.transforms import v2

from multissl_mm.models import IncrementalLearning
from multissl_mm.simulation.streets import draw

STEPS, BATCH, WIDTH, DIM = 20, 16, 128, 32


def pictures(count: int, size: int = 48) -> Tensor:
    """Street scenes, (count, 3, size, size), float in 0 ... 1."""
    drawn = [torch.from_numpy(draw(0, 'example', i, size)[0]) for i in range(count)]  # BGR
    return torch.stack(drawn).flip(-1).permute(0, 3, 1, 2) / 255


def contrastive(task: str, neck: str) -> dict:
    """A pretext task with a projection of the backbone's width to DIM, and a short queue."""
    return dict(
        type=f'multissl_mm.{task}', feat_dim=DIM, queue_len=256,
        neck=dict(type=f'mmpretrain.{neck}', in_channels=WIDTH, hid_channels=WIDTH,
                  out_channels=DIM))


def main() -> None:
    torch.manual_seed(0)
    MMLogger.get_instance('example', log_level='WARNING')  # not a line for every parameter
    init_default_scope('mmpretrain')  # where names without a scope are looked up
    model = IncrementalLearning(
        backbone=dict(type='ResNet', depth=18, base_channels=16, stem_channels=16),
        tasks=[dict(contrastive('MoCoV2Task', 'MoCoV2Neck'), name='mocov2'),
               dict(contrastive('DenseCLTask', 'DenseCLNeck'), name='densecl')],
        momentum=0.9,
        responses=dict(source='teacher'))
    model.init_weights()
    model.train()

    images = pictures(64)
    augment = v2.Compose([
        v2.RandomResizedCrop(32, scale=(0.3, 1.), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.Normalize([0.5] * 3, [0.25] * 3),
    ])

    for stage, name in enumerate(model.task_names):
        if stage:  # what the Runner's ILStageHook does
            model.finish_task(model.task_names[stage - 1])
            model.start_task(name)
        model.set_stage(stage)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)
        for step in range(STEPS):
            batch = images[torch.randperm(len(images))[:BATCH]]
            views = {view: torch.stack([augment(image) for image in batch])
                     for view in ('query', 'key')}
            loss, log = model.parse_losses(model(views, mode='loss'))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 5 == 4:
                print(f'stage {stage + 1}, step {step + 1}: ' +
                      ', '.join(f'{key} {value.item():.3f}' for key, value in log.items()))

    with torch.no_grad():
        features = model.eval()(v2.functional.normalize(images, [0.5] * 3, [0.25] * 3))[-1]
    print(f'features of the last stage: {tuple(features.shape)}')


if __name__ == '__main__':
    main()
