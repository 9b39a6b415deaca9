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


def losses_of(model):
    return model(VIEWS, None, mode='loss').losses


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


def incremental(distill):
    model = MODELS.build(dict(
        type='multissl_mm.IncrementalLearning', backbone=tiny.backbone(), distill=distill,
        momentum=.9, tasks=[dict(tiny.moco_task(), name='m'), dict(tiny.densecl_task(), name='d')]))
    torch.manual_seed(0)
    model.init_weights()
    model.finish_task('m')
    model.set_stage(1)
    return model


def test_feature_distillation_by_hand(scope):
    model = incremental(dict(type='multissl_mm.FeatureDistillation')).eval()
    assert losses_of(model)['m.loss_distill'] == 0  # nothing has moved
    old = pooled(model.backbone(VIEWS[0])).detach()
    with torch.no_grad():
        model.backbone.conv1.weight.mul_(1.5)
    expected = (pooled(model.backbone(VIEWS[0])) - old).square().mean()
    torch.testing.assert_close(losses_of(model)['m.loss_distill'], expected)
    assert expected > 0


def test_cassle_predicts_old_features_from_new_ones(scope):
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


def test_features_that_cassle_could_not_predict_are_refused_in_stage_1(scope):
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
