"""What is kept of old tasks, and what is learned from experts."""
import pytest
import tiny
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.model import pooled

VIEWS = [torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in range(2)]
EXPERTS = [dict(name=n, backbone=tiny.backbone()) for n in 'ab']


def experts(**kwargs):
    torch.manual_seed(0)
    model = MODELS.build(dict(type='multissl_mm.ExpertDistillation', backbone=tiny.backbone(),
                              experts=EXPERTS, **kwargs))
    model.init_weights()
    return model


def losses_of(model, views=VIEWS):
    return model(views, None, mode='loss').losses


def test_euclidean_distillation_is_zero_on_its_own_features(scope):
    model = experts(projector='none').eval()
    for encoder in model.experts.encoders:
        encoder.load_state_dict(model.backbone.state_dict())
    assert {k: v.item() for k, v in losses_of(model).items()} == {
        'a.loss_euclidean': 0., 'b.loss_euclidean': 0.}


def test_euclidean_distillation_by_hand(scope):
    model = experts(projector='linear', views=('query', 'key'),
                    loss_weights=dict(b=3.)).train()
    losses = losses_of(model)
    feats = pooled(model.backbone(torch.cat(VIEWS)))  # both views in one pass, as trained
    for name, encoder, weight in zip('ab', model.experts.encoders, (1., 3.)):
        encoder.eval()
        projector, latents = model.projectors[name], pooled(encoder(torch.cat(VIEWS)))
        expected = weight * (projector(feats) - latents).square().mean()
        torch.testing.assert_close(losses[f'{name}.loss_euclidean'], expected)
    sum(losses.values()).backward()
    assert all(p.grad is None for p in model.experts.parameters())
    assert all(p.grad is not None for p in model.projectors.parameters())


def test_contrastive_distillation_by_hand(scope):
    model = experts(loss='contrastive', projector='mlp', temperature=.3).eval()
    losses = losses_of(model)
    for name, encoder in zip('ab', model.experts.encoders):
        z = F.normalize(model.projectors[name](pooled(model.backbone(VIEWS[0]))), dim=1)
        latent = F.normalize(pooled(encoder(VIEWS[0])), dim=1)
        logits = z @ latent.t() / .3
        expected = -(logits.diag() - logits.logsumexp(1)).mean()
        torch.testing.assert_close(losses[f'{name}.loss_contrastive'], expected)


def test_a_new_backbone_learns_the_latents(scope):
    """Euclidean distillation goes towards zero on one batch, contrastive far below chance."""
    for loss, bound in (('euclidean', .1), ('contrastive', .6)):
        model = experts(loss=loss, projector='linear').train()
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
        before = [v.detach().clone() for v in model.experts.state_dict().values()]
        seen = []
        for _ in range(60):
            model.train()
            total = sum(losses_of(model).values())
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            seen.append(total.item())
        assert seen[-1] < bound * seen[0], (loss, seen[0], seen[-1])
        for a, b in zip(before, model.experts.state_dict().values()):
            assert torch.equal(a, b)


@pytest.mark.parametrize('change, said', [
    (dict(experts=[]), 'at least one expert'),
    (dict(experts=EXPERTS[:1] * 2), 'a different name'),
    (dict(loss='cosine'), 'euclidean, contrastive'),
    (dict(loss_weights=dict(c=1.)), 'model.loss_weights names'),
    (dict(views=['left']), 'not all in model.view_names'),
    (dict(projector='conv'), 'none, linear, mlp'),
    (dict(projector='none', backbone=dict(tiny.backbone(), base_channels=16)),
     "have 128 dimensions, those of expert a 64; use 'linear'"),
])
def test_errors(scope, change, said):
    with pytest.raises(MultiSSLError, match=said):
        MODELS.build({**dict(type='multissl_mm.ExpertDistillation', backbone=tiny.backbone(),
                             experts=EXPERTS), **change})


M, D, S = (dict(task, name=name) for name, task in (
    ('m', tiny.moco_task()), ('d', tiny.densecl_task()), ('s', tiny.simclr_task())))


def incremental(distill, first=M, second=D, **kwargs):
    model = MODELS.build(dict(
        type='multissl_mm.IncrementalLearning', backbone=tiny.backbone(), distill=distill,
        momentum=.9, tasks=[first, second], **kwargs))
    torch.manual_seed(0)
    model.init_weights()
    model.finish_task(first['name'])
    model.set_stage(1)
    return model


def move(model):
    """Other weights of the backbone than when the first task was finished."""
    torch.manual_seed(1)
    for p in model.backbone.parameters():
        p.data.add_(.1 * p.data.std().nan_to_num(0.) * torch.randn_like(p))


def kept(model, views=VIEWS):
    return {k: v for k, v in losses_of(model, views).items() if 'distill' in k}


HEAD = dict(type='multissl_mm.QueueContrastHead', distill='info_nce', distill_temperature=.3)


def nce(q, positive, queue, temperature=.3):
    """MoCo's equation 1, spelled out."""
    logits = torch.cat([(q * positive).sum(1, keepdim=True), q @ queue.t()], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))


def responses_of(model, name, view):
    """New and old outputs of the task's own layers to a view."""
    task, teacher = model.tasks[name], model.teachers[name].module
    views = dict(query=view, key=view)
    return [{k: v.detach() for k, v in found.items()} for found in (
        task.responses(model.batch(views, None, [task])),
        task.responses(model.batch(views, None, [task], teacher['backbone']), teacher['layers']))]


@pytest.mark.parametrize('view', ['same', 'other'])
def test_own_loss_with_the_stored_response_by_hand(scope, view):
    """The positive is the old response to the same view or to the other, not a momentum key."""
    model = incremental(dict(type='multissl_mm.ResponseDistillation', view=view),
                        dict(M, head=HEAD)).eval()
    if view == 'same':
        assert kept(model)['m.loss_distill'].abs() < 1e-6  # nothing has moved
    move(model)
    (new, _), (_, old) = (responses_of(model, 'm', VIEWS[v]) for v in (0, view == 'other'))
    queue = model.tasks['m'].queues['global'].keys
    expected = nce(new['q'], old['q'], queue) - nce(old['q'], old['q'], queue)
    torch.testing.assert_close(kept(model)['m.loss_distill'], expected)
    assert expected.abs() > 1e-4


def test_own_loss_of_positions_of_the_other_view_by_hand(scope):
    """A position is held to the most similar old one of the other view."""
    model = incremental(dict(type='multissl_mm.ResponseDistillation', view='other'),
                        dict(D, head=HEAD), M).eval()
    move(model)
    views = [F.interpolate(view, scale_factor=2.) for view in VIEWS]  # 2 x 2 positions
    (new, _), (_, old) = (responses_of(model, 'd', view) for view in views)
    found = kept(model, views)
    assert new['dense'].shape == (6, 4, 16)
    match = torch.einsum('nsc,ntc->nst', new['dense'], old['dense']).argmax(2)
    assert (match != torch.arange(4)).any()  # or there was nothing to test
    dense = torch.stack([rows[chosen] for rows, chosen in zip(old['dense'], match)]).flatten(0, 1)
    for key, q, k, queue in (
            ('d.loss_distill_single', new['q'], old['q'], 'global'),
            ('d.loss_distill_dense', new['dense'].flatten(0, 1), dense, 'dense')):
        keys = model.tasks['d'].queues[queue].keys
        torch.testing.assert_close(found[key], .5 * (nce(q, k, keys) - nce(k, k, keys)))


@pytest.mark.parametrize('view', ['same', 'other'])
def test_info_nce_of_an_algorithm_by_hand(scope, view):
    model = incremental(dict(type='multissl_mm.ResponseDistillation', view=view),
                        dict(S, distill='info_nce'), M).eval()
    if view == 'same':
        assert kept(model)['s.loss_distill'].abs() < 1e-6
    move(model)
    views = dict(zip(('query', 'key'), VIEWS))
    new = model.tasks['s'].responses(model.batch(views, None, [model.tasks['s']]))
    expected = []
    for own, positive in ((0, 0), (1, 1)) if view == 'same' else ((0, 1), (1, 0)):
        old, q = responses_of(model, 's', VIEWS[positive])[1]['query'], new[('query', 'key')[own]]
        a, b = ((z @ old.t() / .1).log_softmax(1).diag().mean() for z in (q, old))
        expected.append(b - a)
    torch.testing.assert_close(kept(model)['s.loss_distill'], sum(expected) / 2)


def test_a_loss_is_kept_at_its_own_temperature(scope):
    """Unless another is given; the divergence of similarities has one of its own."""
    q, old, *queue = F.normalize(
        torch.randn(66, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    queue = torch.stack(queue)
    head = dict(type='multissl_mm.QueueContrastHead', temperature=.07)
    own = MODELS.build(dict(head, distill='info_nce'))
    torch.testing.assert_close(
        own.distill_loss(q[None], old[None], queue),
        own.loss(q[None], old[None], queue) - own.loss(old[None], old[None], queue))
    assert MODELS.build(dict(head, distill='info_nce', distill_temperature=.3)
                        ).distill_temperature == .3
    assert MODELS.build(dict(head, distill='kl')).distill_temperature == .2
    for algorithm, distill, temperature in (  # SimCLR's head is at 0.1, BYOL's has none
            (tiny.simclr_task(), 'info_nce', .1), (tiny.simclr_task(), 'kl', .2),
            (tiny.byol_task(), 'info_nce', .2)):
        assert MODELS.build(dict(algorithm, distill=distill)).distill_temperature == temperature


def test_where_info_nce_is_least(scope):
    """Zero at the old response, where the queue still pushes; far from it much more than that."""
    old, other, *queue = F.normalize(
        torch.randn(66, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    head = MODELS.build(HEAD)
    q = old[None].clone().requires_grad_()
    loss = head.distill_loss(q, old[None], torch.stack(queue))
    loss.backward()
    along = q.grad - (q.grad * q).sum() * q
    assert loss.abs() < 1e-6 and along.norm() > 1e-2
    values = [head.distill_loss(F.normalize(old - step * along.detach(), dim=1), old[None],
                                torch.stack(queue)).item() for step in (.1, 10.)]
    assert -1 < values[0] < 0 < values[1]
    assert head.distill_loss(other[None], old[None], torch.stack(queue)) > 1


def published(p, z, temperature):
    """The loss of CaSSLe's authors: rows i of p and z belong together, all others are negatives."""
    logits = F.normalize(p, dim=1) @ F.normalize(z, dim=1).t() / temperature
    return -logits.log_softmax(1).diag().mean()


@pytest.mark.parametrize('first, second', [(M, D), (D, M), (S, M)], ids='mds')
def test_cassle_by_hand(scope, first, second):
    name = first['name']
    model = incremental(dict(type='multissl_mm.CaSSLe', feat_dim=16, hid_channels=32,
                             temperature=.3), first, second).eval()
    move(model)
    expected = []
    for projector in model.tasks[name].projections:
        new, old = [], []
        key = dict(neck='query').get(projector, projector)
        for view in VIEWS:
            for rows, found in zip((new, old), responses_of(model, name, view)):
                rows.append(found[key].flatten(0, -2))
        predictor = model.distill.predictors[name][projector]
        p, z = torch.cat([predictor(x) for x in new]), torch.cat(old)
        expected.append((published(p, z, .3) + published(z, p, .3)) / 2)
    torch.testing.assert_close(kept(model)[f'{name}.loss_distill'], sum(expected) / len(expected))
    # Gradients reach predictors and backbone; a new stage starts with other predictors.
    sum(kept(model.train()).values()).backward()
    assert model.backbone.conv1.weight.grad.abs().sum() > 0
    before = {k: v.clone() for k, v in model.distill.named_parameters()}
    assert all(p.grad.abs().sum() > 0 for p in model.distill.parameters())
    model.start_task(second['name'])
    assert all(not torch.equal(before[k], v) for k, v in model.distill.named_parameters()
               if v.dim() > 1)


@pytest.mark.parametrize('distill, options, said', [
    (dict(type='multissl_mm.ResponseDistillation', view='third'), {}, "view is 'third'"),
    (dict(type='multissl_mm.FeatureDistillation', distance='cosine'), {}, "distance is 'cosine'"),
    (None, dict(first=dict(M, head=dict(HEAD, distill='mse'))), 'must be one of kl, info_nce'),
    (None, dict(first=dict(S, distill='mse')), 'AlgorithmTask.distill is'),
])
def test_wrong_kinds_are_named(scope, distill, options, said):
    with pytest.raises(MultiSSLError, match=said):
        incremental(distill, **options)


def test_projections_that_cassle_could_not_predict_are_refused_in_stage_1(scope):
    model = incremental(dict(type='multissl_mm.CaSSLe', feat_dim=32))
    model.set_stage(0)
    with pytest.raises(MultiSSLError, match='feat_dim is 32, but the projections of m have 16'):
        losses_of(model)


def test_feature_distillation_by_hand(scope):
    """M7: the mean over all dimensions, which hardly pulls, is not the default any more."""
    for distance in ('unit', 'mean_squared'):
        model = incremental(dict(type='multissl_mm.FeatureDistillation', distance=distance)).eval()
        assert losses_of(model)['m.loss_distill'] == 0  # nothing has moved
        old = pooled(model.backbone(VIEWS[0])).detach()
        move(model)
        new = pooled(model.backbone(VIEWS[0]))
        expected = ((new - old).square().mean() if distance == 'mean_squared' else
                    2 * (1 - F.cosine_similarity(new, old)).mean())
        torch.testing.assert_close(losses_of(model)['m.loss_distill'], expected)
        assert expected > 0
    assert incremental(dict(type='multissl_mm.FeatureDistillation')).distill.distance == 'unit'


def test_old_features_are_predicted_from_new_ones(scope):
    cfg = dict(type='multissl_mm.PredictiveDistillation', in_channels=64, hid_channels=32)
    model = incremental(cfg).eval()
    predictor = model.distill.predictors['m']
    new = pooled(model.backbone(VIEWS[0]))
    expected = 1 - F.cosine_similarity(predictor(new), new).mean()
    torch.testing.assert_close(losses_of(model)['m.loss_distill'], expected)
    # Gradients reach predictor and backbone; a new stage starts with another predictor.
    losses_of(model.train())['m.loss_distill'].backward()
    assert predictor[0].weight.grad.abs().sum() > 0
    assert model.backbone.conv1.weight.grad.abs().sum() > 0
    before = predictor[0].weight.clone()
    model.start_task('d')
    assert not torch.equal(before, predictor[0].weight)


def test_features_that_could_not_be_predicted_are_refused_in_stage_1(scope):
    model = incremental(dict(type='multissl_mm.PredictiveDistillation', in_channels=32))
    model.set_stage(0)
    with pytest.raises(MultiSSLError, match='in_channels is 32, but .* have 64'):
        losses_of(model)


def test_stored_latents_that_nobody_recorded(scope):
    model = experts(responses=dict(source='stored', replicas=1))
    with pytest.raises(MultiSSLError, match='no stored responses of a: .*ExpertLatentsHook'):
        losses_of(model)


def test_warm_up_trains_the_new_layers_alone(scope):
    model = incremental(None)
    model.set_stage(1, warming_up=True)
    model.train()
    frozen = {k: v.clone() for k, v in model.state_dict().items()
              if k.startswith(('backbone.', 'tasks.m.'))}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], .1,
                                weight_decay=.1)
    for _ in range(2):
        losses = losses_of(model)
        assert {k.split('.')[0] for k in losses} == {'d'}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    state = model.state_dict()
    for key, value in frozen.items():  # weight decay and batch norm statistics included
        assert torch.equal(value, state[key]), key
    assert model.tasks['d'].neck.mlp[0].weight.grad.abs().sum() > 0
    model.set_stage(1)
    model.train()
    assert model.backbone.training and {k.split('.')[0] for k in losses_of(model)} == {'m', 'd'}
