"""Pretext tasks A, B and C, alone and in every algorithm."""
import pytest
import sounds
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from multissl_mm.datasets.keyed import ViewKey, mark
from multissl_mm.engine.hooks.forgetting import heldout_losses
from multissl_mm.errors import MultiSSLError
from multissl_mm.models.pretext import TaskBatch
from multissl_mm.responses.bank import ResponseBank

WIDTH = 64  # of the panoramas
CASSLE = dict(type='multissl_mm.CaSSLe', feat_dim=16, hid_channels=32)
ENCODER = dict(type='multissl_mm.BinauralEncoder', channels=(4, 4, 8, 8, 8))
VIDEO = dict(type='multissl_mm.PanoramaEncoder', channels=(4, 4, 8, 8))
FLOW, MASKED = dict(VIDEO, in_channels=2 * 4), dict(VIDEO, in_channels=3 * 4)
A = dict(name='a', type='multissl_mm.SpatialAlignmentTask', in_channels=16, video=FLOW)
B = dict(name='b', type='multissl_mm.ForegroundAlignmentTask', in_channels=16, video=FLOW,
         feat_dim=16)
C = dict(name='c', type='multissl_mm.TemporalGapTask', in_channels=16)
FRONT_END = dict(type='multissl_mm.SoundPreprocessor', n_fft=64, win_length=50, hop_length=20)


def batch(n=6, scenes=2, seed=0):
    return sounds.batch(n, scenes, length=800, frames=4, size=(32, WIDTH), seed=seed)


def build(kind='MultiTask', tasks=(A, B, C), **kwargs):
    torch.manual_seed(1)
    cfg = dict(type=f'multissl_mm.{kind}', backbone=ENCODER, data_preprocessor=FRONT_END, **kwargs)
    model = MODELS.build(dict(cfg, tasks=tasks) if tasks else cfg)
    model.init_weights()
    return model


def task(cfg, **kwargs):
    return MODELS.build({k: v for k, v in dict(cfg, **kwargs).items() if k != 'name'})


def losses_of(model, data):
    return flat(model(**model.data_preprocessor(data, True), mode='loss'))


def flat(out):
    return {**out.losses, **out.metrics}


def backward(losses):
    sum(v for k, v in losses.items() if 'loss' in k).backward()


# ------------------------------------------------------------------ A


def test_a_rotation_turns_the_panorama_to_the_right(scope):
    model, video = task(A), torch.zeros(3, 1, 1, 1, WIDTH)
    video[..., 10] = 1  # a bright column
    turned = model.rotate(video, torch.tensor([0, 1, 7]))
    assert turned.flatten(1).argmax(1).tolist() == [10, 10 + WIDTH // 8,
                                                    (10 + 7 * WIDTH // 8) % WIDTH]
    for r, out in enumerate(turned):
        assert torch.equal(out, video[r].roll([0, 1, 7][r] * WIDTH // 8, -1))


def test_a_finds_the_rotation_of_what_is_heard(scope):
    """By hand: a sound from direction 2, and a picture with something in column 2, turned."""
    model = task(A, feat_dim=1)
    heard = F.one_hot(torch.full((8, ), 2), 8).float()  # (N, D * 8)
    layers = dict(sound=lambda outs: heard, columns=lambda maps: maps[:, :1],
                  video=lambda video: video[:, 0].expand(-1, 2, 2, -1))
    flow = torch.zeros(8, 1, 1, 2, WIDTH)
    flow[..., 2 * WIDTH // 8:3 * WIDTH // 8] = 1
    seen = TaskBatch(dict(clip=(None, )), inputs=dict(flow=flow, rotation=torch.arange(8)))
    logits = model.responses(seen, layers)['logits']
    assert torch.equal(logits.argmax(1), torch.arange(8))
    assert model.score(dict(logits=logits), dict(rotation=torch.arange(8))) == dict(top1=1.)
    assert model.score(dict(logits=logits.roll(1, 0)), dict(rotation=torch.arange(8))) == dict(
        top1=0.)


def test_a_cannot_read_the_rotation_off_the_picture(scope):
    model = task(A).double().eval()
    clip = torch.randn(1, 16, 2, 3).double().expand(8, -1, -1, -1)
    flow = torch.randn(1, 4, 2, 32, WIDTH).double().expand(8, -1, -1, -1, -1)
    logits = model.responses(TaskBatch(dict(clip=(clip, )), inputs=dict(
        flow=flow, rotation=torch.arange(8))))['logits']
    # Turning the picture turns the logits and does nothing else to them, whatever the weights.
    for r in range(8):
        torch.testing.assert_close(logits[r], logits[0].roll(r), rtol=0, atol=1e-6)
    assert logits[0].std() > 1e-3


def test_a_with_the_plain_head(scope):
    model = build(tasks=[dict(A, head='mlp')])
    losses = losses_of(model, batch())
    assert model.tasks['a'].layers['mlp'][-1].out_features == 8
    assert set(losses) == {'a.loss', 'a.top1'}
    backward(losses)
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(MultiSSLError, match="head is 'rnn'; it must be one of correlation, mlp"):
        task(A, head='rnn')


def test_a_refuses_widths_that_cannot_turn(scope):
    with pytest.raises(MultiSSLError, match='flow is 96 columns wide; the 8 rotations .* multiple '
                       'of 64'):
        task(A).rotate(torch.zeros(1, 1, 1, 1, 96), torch.tensor([1]))


# ------------------------------------------------------------------ B


def rows(mask):
    return [row.nonzero().flatten().tolist() for row in mask]


def test_b_candidates(scope):
    scene = torch.tensor([3, 3, 3, 3, 5, 5, 5])
    assert rows(task(B).candidates(scene)) == [[0, 1, 2, 3]] * 4 + [[4, 5, 6]] * 3
    assert rows(task(B, num_negatives=1).candidates(scene)) == [
        [0, 1], [1, 2], [2, 3], [0, 3], [4, 5], [5, 6], [4, 6]]
    assert rows(task(B, num_negatives=2).candidates(scene))[3] == [0, 1, 3]
    assert rows(task(B, num_negatives=1, other_videos=True).candidates(scene))[2] == [2, 3, 4, 5, 6]
    assert task(B, other_videos=True).candidates(scene).all()


def test_b_refuses_batches_without_misaligned_segments(scope):
    alone, data = torch.tensor([3, 3, 5, 3, 3, 3]), batch()
    assert rows(task(B).candidates(alone[:3])) == [[0, 1], [0, 1], [2]]
    # What the samples say the host knows; without them it has to look at the tensor.
    for said, scenes in ((alone, alone), (alone, torch.full((6, ), 3))):
        for sample, scene in zip(data['data_samples'], said.tolist()):
            sample.set_metainfo(dict(scene=scene))
        data['inputs']['scene'] = scenes
        with pytest.raises(MultiSSLError, match='SceneGroupSampler'):
            losses_of(build(tasks=[B]), data)
        losses_of(build(tasks=[B]).eval(), data)
    data['inputs']['scene'] = alone
    with pytest.raises(MultiSSLError, match='SceneGroupSampler'):
        losses_of(build(tasks=[B]), dict(data, data_samples=None))


@pytest.mark.parametrize('cfg', [dict(), dict(num_negatives=1), dict(other_videos=True)])
def test_b_is_info_nce(scope, cfg):
    model = build(tasks=[dict(B, **cfg)]).eval()
    data = model.data_preprocessor(batch(), True)
    seen = model.batch(data['inputs'], None, [model.tasks['b']])
    out = model.tasks['b'].responses(seen)
    torch.testing.assert_close(out['sound'].norm(dim=1), torch.ones(6))
    torch.testing.assert_close(out['video'].norm(dim=1), torch.ones(6))
    expected = []
    for i, row in enumerate(rows(model.tasks['b'].candidates(data['inputs']['scene']))):
        similar = {j: (out['sound'][i] @ out['video'][j] / .07).exp() for j in row}
        expected.append(-(similar[i] / sum(similar.values())).log())
    loss = model.tasks['b'].loss(seen).losses['loss']
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_b_held_out_samples_without_a_negative_count_nothing(scope):
    model = build(tasks=[B]).eval()
    data = batch(4)
    data['inputs']['scene'] = torch.tensor([1, 2, 2, 3])
    inputs = model.data_preprocessor(data, True)['inputs']
    b = model.tasks['b']
    loss, of_pair = (b.loss(model.batch(x, None, [b])).losses['loss']
                     for x in (inputs, {k: v[1:3] for k, v in inputs.items()}))
    torch.testing.assert_close(loss, of_pair)


def test_b_keeps_similarities(scope):
    model, n = task(B, cosine_weight=.5), 5
    old, new = ({k: F.normalize(torch.randn(n, 16), dim=1) for k in ('sound', 'video')}
                for _ in range(2))
    p, q = (F.softmax(r['sound'] @ r['video'].t() / .07, 1) for r in (old, new))
    losses = model.distill_loss(new, old).losses
    torch.testing.assert_close(losses['loss_distill'], (p * (p / q).log()).sum(1).mean())
    cosine = [(new[k] * old[k]).sum(1).mean() for k in old]
    torch.testing.assert_close(losses['loss_distill_cosine'], .5 * (1 - sum(cosine) / 2))
    assert set(task(B).distill_loss(new, old).losses) == {'loss_distill'}


def test_b_keeps_its_own_loss_with_old_positives(scope):
    model, n = task(B, distill='info_nce'), 5
    old, new = ({k: F.normalize(torch.randn(n, 16), dim=1) for k in ('sound', 'video')}
                for _ in range(2))

    def nce(z, positives):
        return -(z @ positives.t() / .07).log_softmax(1).diag().mean()

    expected = sum(nce(new[a], old[b]) - nce(old[a], old[b])
                   for a, b in (('sound', 'video'), ('video', 'sound'))) / 2
    torch.testing.assert_close(model.distill_loss(new, old).losses['loss_distill'], expected)
    assert model.distill_loss(old, old).losses['loss_distill'] == 0
    with pytest.raises(MultiSSLError, match="distill is 'cosine'; it must be one of kl, info_nce"):
        task(B, distill='cosine')


def test_b_score(scope):
    model = task(B, score_among=3)
    scene = torch.tensor([1] * 5 + [2] * 2 + [4] * 3)  # the second has too few
    video = F.one_hot(torch.arange(10)).float()
    sound = video.clone()
    assert model.score(dict(sound=sound, video=video), dict(scene=scene)) == dict(top1=1.)
    sound[1] = video[0]  # taken for its neighbour
    sound[9] = video[9] + 2 * video[0]  # the other is in another scene: no candidate
    assert model.score(dict(sound=sound, video=video), dict(scene=scene)) == dict(top1=7 / 8)
    with pytest.raises(MultiSSLError, match='no scene has 20 segments'):
        task(B, score_among=20).score(dict(sound=sound, video=video), dict(scene=scene))


# ------------------------------------------------------------------ C


def test_c_does_not_mind_the_order(scope):
    model = build(tasks=[C]).eval()
    inputs = model.data_preprocessor(batch(), True)['inputs']
    c = model.tasks['c']
    feats = model.batch(inputs, None, [c])
    swapped = TaskBatch(dict(clip=feats.features['other'], other=feats.features['clip']))
    assert torch.equal(c.responses(feats)['gap'], c.responses(swapped)['gap'])
    assert c.responses(feats)['gap'].std() > 0
    hidden, out = c.head.layers[0], c.head.layers[2]
    assert (hidden.in_features, hidden.out_features, out.out_features) == (32, 64, 1)


def test_c_huber_and_score(scope):
    model = task(C, delta=.1)
    gap, predicted = torch.tensor([0., .5, 1.]), torch.tensor([.05, .5, .5])
    expected = torch.tensor([.5 * .05**2 / .1, 0., .5 - .05]).mean()
    torch.testing.assert_close(
        model.distill_loss(dict(gap=predicted), dict(gap=gap)).losses['loss_distill'], expected)
    assert model.score(dict(gap=3 * gap + 1), dict(gap=gap))['correlation'] == pytest.approx(1)
    assert model.score(dict(gap=-gap), dict(gap=gap))['correlation'] == pytest.approx(-1)


# ------------------------------------------------------------------ all of them


def test_one_pass_of_the_encoder_for_all_clips_of_all_tasks(scope):
    model, seen = build(), []
    model.backbone.register_forward_hook(lambda m, args, out: seen.append(args[0].shape))
    losses = losses_of(model, batch())
    assert seen == [(12, 2, 33, 41)]
    assert set(losses) == {'a.loss', 'a.top1', 'b.loss', 'b.top1', 'c.loss'}
    backward(losses)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_masked_foreground_instead_of_flow(scope):
    model = build(tasks=[dict(B, view='foreground', video=MASKED)])
    data = batch()
    del data['inputs']['flow']
    backward(losses_of(model, data))
    data['inputs'].pop('foreground')
    with pytest.raises(MultiSSLError, match="a task needs 'foreground' of a batch, but it has"):
        losses_of(model, data)


def test_responses_do_not_depend_on_the_rest_of_the_batch(scope):
    model = build().eval()
    inputs = model.data_preprocessor(batch(), False)['inputs']
    part = {k: v[1:3] for k, v in inputs.items()}
    for one in model.tasks.values():
        whole, few = (one.responses(model.batch(x, None, [one])) for x in (inputs, part))
        for name, response in whole.items():
            torch.testing.assert_close(few[name], response[1:3])


@pytest.mark.parametrize('order', [(B, C, A), (A, B, C), (C, A, B)], ids=['bca', 'abc', 'cab'])
def test_incremental_with_stored_responses_equals_teachers(scope, tmp_path, order):
    responses = dict(teacher=dict(source='teacher'),
                     stored=dict(source='stored', replicas=1, dtype='float32'))
    # without batch statistics what is new and what is old differ in weights only
    models = {k: build('IncrementalLearning', order, responses=v).eval()
              for k, v in responses.items()}
    data = {k: m.data_preprocessor(batch(), True) for k, m in models.items()}
    names = [t['name'] for t in order]
    identity = dict(weights='', data='', views='', seed=0, samples=6)
    banks = []
    for stage in (1, 2):
        for source, model in models.items():
            name = names[stage - 1]
            model.finish_task(name)
            if source == 'stored':
                bank = ResponseBank(tmp_path / name, dict(identity, task=name), dtype='float32')
                bank.create()
                bank.write(0, 0, iter([model.current_responses(name, data[source]['inputs'])]))
                banks.append(bank)
                for i, sample in enumerate(data[source]['data_samples']):
                    mark(sample, ViewKey(0, 0, i, tuple(banks)))
            model.set_stage(stage)
        losses = {k: flat(m(**data[k], mode='loss')) for k, m in models.items()}
        assert set(losses['stored']) == set(losses['teacher'])
        assert losses['stored'][f'{names[stage - 1]}.loss_distill'].abs() < 1e-6  # nothing moved
        for model in models.values():  # now it moves
            torch.manual_seed(stage)
            for p in (*model.backbone.parameters(), *model.tasks.parameters()):
                p.data.add_(.05 * torch.randn_like(p))
        losses = {k: flat(m(**data[k], mode='loss')) for k, m in models.items()}
        for name in names[:stage]:
            kept = {k: v[f'{name}.loss_distill'] for k, v in losses.items()}
            assert kept['teacher'] > 1e-5
            torch.testing.assert_close(kept['stored'], kept['teacher'], rtol=1e-4, atol=1e-6)
    backward(losses['teacher'])


@pytest.mark.parametrize('weighting', ['uncertainty', 'pcgrad'])
def test_multi_task_weightings(scope, weighting):
    model = build(weighting=weighting)
    backward(losses_of(model, batch()))
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_feature_distillation_and_experts(scope):
    for distill in (dict(type='multissl_mm.FeatureDistillation'),
                    dict(type='multissl_mm.PredictiveDistillation', in_channels=16)):
        model = build('IncrementalLearning', distill=distill)
        losses_of(model, batch())
        model.finish_task('a')
        model.set_stage(1)
        assert 'a.loss_distill' in losses_of(model, batch())
    model = build('IncrementalLearning', (B, C), distill=CASSLE)
    losses_of(model, batch())
    model.finish_task('b')
    model.set_stage(1)
    assert losses_of(model, batch())['b.loss_distill'] > 0
    with pytest.raises(MultiSSLError, match='a, a SpatialAlignmentTask, has none'):
        build('IncrementalLearning', (A, C), distill=CASSLE)
    with pytest.raises(MultiSSLError, match='of clip, which b sees, there is no other view'):
        build('IncrementalLearning', (B, C),
              distill=dict(type='multissl_mm.ResponseDistillation', view='other'))
    model = build('ExpertDistillation', (), view_names=('clip', ), input_shape=(2, 33, 41),
                  experts=[dict(name=n, backbone=ENCODER) for n in 'ab'])
    assert set(losses_of(model, batch())) == {'a.loss_euclidean', 'b.loss_euclidean'}


def test_held_out_losses_of_batches_that_mix_scenes(scope):
    model = build('IncrementalLearning', (B, C, A))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    batches = [batch(seed=i) for i in range(3)]
    for data in batches:  # as dealt, without regard to scenes
        data['inputs']['scene'] = torch.tensor([1, 2, 1, 4, 5, 6])
    losses = heldout_losses(model, batches, ['b', 'c', 'a'], 6)
    assert set(losses) == {'a', 'b', 'c'} and all(v > 0 for v in losses.values())
    assert model.training and all(torch.equal(v, before[k])
                                  for k, v in model.state_dict().items())


def test_half_precision_channels_last_and_compiled(scope):
    data = batch()
    plain, fast = build(), build(channels_last=True, compile=dict(backend='aot_eager'))
    expected = losses_of(plain, data)
    with torch.autocast('cpu', torch.bfloat16):
        losses = losses_of(fast, data)
        for name in ('a', 'b', 'c'):
            assert losses[f'{name}.loss'].dtype == torch.float32
            torch.testing.assert_close(losses[f'{name}.loss'], expected[f'{name}.loss'], rtol=.1,
                                       atol=.02)
        backward(losses)
    assert all(p.grad.isfinite().all() for p in fast.parameters())


def test_each_learns_a_batch_by_heart(scope):
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    data = batch()
    first = None
    for _ in range(60):
        losses = losses_of(model, data)
        first = first or {k: v.item() for k, v in losses.items()}
        optimizer.zero_grad()
        backward(losses)
        optimizer.step()
    assert all(losses[f'{t}.loss'] < .3 * first[f'{t}.loss'] for t in 'abc')
    assert losses['a.top1'] == losses['b.top1'] == 1


def test_other_tasks_and_pictures_are_as_before(scope):
    model = build(tasks=[C])
    with pytest.raises(MultiSSLError, match="needs 'other' of a batch, but it has"):
        model.encode(model.backbone, dict(clip=torch.zeros(2, 2, 33, 41)), ['clip', 'other'])
    with pytest.raises(MultiSSLError, match='gives 3 views, but model.view_names names 2'):
        model.name_views([None] * 3)
