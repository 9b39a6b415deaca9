import torch
from torch import nn

from multissl_mm.models import MomentumEncoder


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def test_update_is_the_moving_average_of_parameters_only():
    source = net()
    copy = MomentumEncoder(source)
    before = [p.clone() for p in copy.parameters()]
    with torch.no_grad():
        for p in source.parameters():
            p.add_(torch.randn_like(p))
    source(torch.randn(8, 3, 2, 2))  # moves the source's running statistics
    copy.update(source, 0.9)
    for p, old, new in zip(copy.module.parameters(), before, source.parameters()):
        torch.testing.assert_close(p, 0.9 * old + 0.1 * new)
    assert torch.equal(copy.module[1].running_mean, torch.zeros(4))
    copy.sync(source)
    assert all(torch.equal(a, b) for a, b in zip(copy.module.state_dict().values(),
                                                 source.state_dict().values()))


def test_a_teacher_that_follows_takes_the_running_statistics_along():
    source = net()
    teacher = MomentumEncoder(source, frozen=True)
    source(torch.randn(8, 3, 2, 2))
    teacher.follow(source, 0.75)
    torch.testing.assert_close(teacher.module[1].running_mean, .25 * source[1].running_mean)
    assert teacher.module[1].num_batches_tracked == 1


def test_a_teacher_stays_in_eval_mode_when_the_model_trains():
    parent = nn.Module()
    parent.teacher = MomentumEncoder(net(), frozen=True)
    parent.follower = MomentumEncoder(net())
    parent.train()  # MMEngine calls this at every epoch
    assert not any(m.training for m in parent.teacher.modules())
    assert parent.follower.module[1].training
    parent.teacher(torch.randn(8, 3, 2, 2))
    assert torch.equal(parent.teacher.module[1].running_mean, torch.zeros(4))
    assert not any(p.requires_grad for p in parent.parameters())
