"""SP, S3R and VR on any encoder."""
import pytest
import torch
from mmengine.registry import MODELS

from multissl_mm.errors import MultiSSLError

EAR = dict(type='multissl_mm.BinauralEncoder', channels=(4, 4, 8, 8, 8))
STAGES = dict(stages=[f'ear.{i}' for i in range(5)], input_shape=(2, 64, 64))
BACKBONES = dict(
    plain=EAR,
    concat=dict(type='multissl_mm.ConcatBackbone', encoders=[EAR, EAR]),
    progressive=dict(type='multissl_mm.ProgressiveColumns', columns=[EAR, EAR], **STAGES),
    resnet=dict(type='multissl_mm.BinauralEncoder',
                ear=dict(type='mmpretrain.ResNet', depth=18, in_channels=1, stem_channels=8,
                         base_channels=8)))
FRONT_END = dict(type='multissl_mm.SoundPreprocessor', n_fft=64, win_length=64, hop_length=32)
SPECTRA = dict(FRONT_END, spectra=('clip', 'turned'))
VIDEO = dict(type='multissl_mm.PanoramaEncoder', in_channels=8, channels=(4, 4, 8, 8))
TASKS = dict(
    sp=dict(type='multissl_mm.SemanticPrediction', data_preprocessor=FRONT_END,
            decoder=dict(type='multissl_mm.SemanticDecoder', size=(4, 16), channels=8,
                         rates=(1, 2), lift='project')),
    s3r=dict(type='multissl_mm.SpatialSuperResolution', data_preprocessor=SPECTRA,
             decoder=dict(type='multissl_mm.SpectrogramDecoder', channels=(8, 8, 8, 8))),
    vr=dict(type='multissl_mm.VideoRetrieval', data_preprocessor=FRONT_END, video=VIDEO))


def build(task, backbone='plain', **kwargs):
    torch.manual_seed(0)
    model = MODELS.build(dict(TASKS[task], backbone=BACKBONES[backbone], **kwargs))
    model.init_weights()
    return model


def inputs(model, n=4, seed=0):
    torch.manual_seed(seed)
    batch = dict(clip=torch.randn(n, 2, 4000), turned=torch.randn(n, 3, 2, 4000),
                 semantics=torch.randint(6, (n, 16, 64)),
                 restricted=torch.rand(n, 16, 64) > .5, flow=torch.randn(n, 4, 2, 16, 64))
    return model.data_preprocessor(dict(inputs=batch), True)['inputs']


@pytest.mark.parametrize('frozen', [False, True])
@pytest.mark.parametrize('backbone', list(BACKBONES))
@pytest.mark.parametrize('task', list(TASKS))
def test_any_task_learns_on_any_encoder(scope, task, backbone, frozen):
    model = build(task, backbone, frozen=frozen).train()
    always = frozen or task == 'vr' or backbone == 'concat'
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-3)
    losses = model(inputs(model), mode='loss')
    assert all('loss' in key and value.isfinite() for key, value in losses.items())
    sum(losses.values()).backward()
    optimizer.step()
    moved = [k for k, v in model.backbone.state_dict().items() if not torch.equal(v, before[k])]
    assert bool(moved) != always
    if backbone == 'progressive':  # the first column stays, in any case
        assert not any(k.startswith('columns.0') for k in moved)
    learned = {k for k, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert any(not k.startswith('backbone.') for k in learned)
    samples = model.eval()(inputs(model), mode='predict')
    assert len(samples) == 4
    assert isinstance(model(inputs(model)), tuple)


def test_map_of_the_size_of_its_truth(scope):
    model = build('sp').eval()
    batch = inputs(model)
    found = model.predict(batch)
    assert found['scores'].shape == (4, 6, 16, 64) and found['restricted'].dtype == torch.bool
    torch.testing.assert_close(found['scores'].sum(1), torch.ones(4, 16, 64))
    assert model.logits(batch).shape == (4, 6, 4, 16)  # without one, as the decoder gives it
    lifted = build('sp', decoder=dict(TASKS['sp']['decoder'], lift='resize')).eval()
    assert lifted.predict(batch)['scores'].shape == (4, 6, 16, 64)


def test_rare_classes_count_by_their_weights(scope):
    plain, weighted = (build('sp', class_weights=w).eval() for w in (None, [0, 0, 0, 0, 0, 3.]))
    batch = inputs(plain)
    logits = plain.logits(batch, (16, 64)).permute(0, 2, 3, 1)
    trucks = batch['semantics'] == 5
    expected = torch.nn.functional.cross_entropy(logits[trucks], batch['semantics'][trucks])
    torch.testing.assert_close(weighted.loss(batch)['loss'], expected)
    assert not any('class_weights' in key for key in weighted.state_dict())


@pytest.mark.parametrize('predicts', ['mask', 'direct'])
def test_s3r_starts_from_what_is_heard(scope, predicts):
    model = build('s3r', predicts=predicts).eval()
    batch = inputs(model)
    turned = model.turned(batch)
    assert turned.shape == (4, 3, 2, 33, 126) and turned.is_complex()
    torch.testing.assert_close(turned, batch['clip_stft'].unsqueeze(1).expand_as(turned))


def test_s3r_that_sees_all_of_the_sound(scope):
    """A change of the last moment reaches the first, with ``project`` alone."""
    for lift, channels in (('resize', (8, 8, 8, 8)), ('project', (8, 8, 8))):
        decoder = dict(type='multissl_mm.SpectrogramDecoder', channels=channels, lift=lift)
        model = build('s3r', decoder=decoder).eval()
        torch.nn.init.normal_(model.decoder.layers[-1].weight)
        assert model.turned(inputs(model)).shape == (4, 3, 2, 33, 126)
        feats = torch.rand(1, model.width, 4, 40, requires_grad=True)
        model.decoder((feats, ), (64, 640))[..., 0].square().sum().backward()
        assert bool(feats.grad[..., -1].any()) == (lift == 'project')


def test_s3r_by_two_linear_layers(scope):
    decoder = dict(type='multissl_mm.SpectrogramDecoder', channels=(), lift='project',
                   coarse=(6, 4))
    model = build('s3r', decoder=decoder).eval()
    batch = inputs(model)
    torch.testing.assert_close(model.turned(batch),
                               batch['clip_stft'].unsqueeze(1).expand(-1, 3, -1, -1, -1))
    torch.nn.init.normal_(model.decoder.to_map.layers[-1].weight)
    out = model.decoder(model.extract_feat(batch), (6, 4))
    assert out.shape == (4, 12, 6, 4) and not any(model.decoder.layers.parameters())
    assert out.flatten(1).std(0).all()  # of every cell by itself
    with pytest.raises(MultiSSLError, match="channels.*lift='project'"):
        build('s3r', decoder=dict(decoder, lift='resize'))


def test_decoders_see_frozen_features_of_any_scale_alike(scope):
    for task in ('sp', 's3r'):
        decoder = dict(TASKS[task]['decoder'], lift='project')
        model = build(task, decoder=decoder).train()
        with torch.no_grad():
            for parameter in model.decoder.parameters():
                torch.nn.init.normal_(parameter, std=.1)
            feats = torch.rand(8, model.width, 4, 3)
            size = ((33, 126), ) if task == 's3r' else ()
            outs = []
            for scaled in (feats, 1 + 100 * feats):
                torch.manual_seed(0)  # of dropout
                outs.append(model.decoder((scaled, ), *size))
            torch.testing.assert_close(*outs, rtol=1e-3, atol=1e-3)


def test_decoders_of_before_there_was_a_norm_go_on_as_they_were(scope):
    old, now = build('sp').eval(), build('sp').eval()
    projection = old.decoder.to_map
    weights = {k: v for k, v in old.state_dict().items() if 'to_map.norm' not in k}
    assert len(weights) == len(old.state_dict()) - 3
    now.decoder.to_map.norm.running_mean.normal_()
    now.load_state_dict(weights)
    feats = torch.rand(4, old.width, 4, 3)
    cells = feats.flatten(1)  # of as many as there are
    torch.testing.assert_close(now.decoder.to_map((feats, )), projection.layers(cells),
                               rtol=1e-3, atol=1e-3)


def test_a_mask_has_a_limit_and_a_difference_none(scope):
    for predicts, most in (('mask', 2.), ('direct', 1e3)):
        model = build('s3r', predicts=predicts, limit=2.).eval()
        torch.nn.init.constant_(model.decoder.layers[-1].bias, 1e3)
        batch = inputs(model)
        own = batch['clip_stft'].unsqueeze(1)
        change = model.turned(batch) - own
        if predicts == 'mask':
            change = change / own
        change = torch.view_as_real(change)
        torch.testing.assert_close(change, torch.full_like(change, most), rtol=1e-2, atol=1e-2)


def test_s3r_learns_louder_ears(scope):
    """Pairs that hear the same, twice as loud: after some steps the model says so."""
    model = build('s3r').train()
    batch = inputs(model)
    batch['turned_stft'] = 2 * batch['clip_stft'].unsqueeze(1).expand(-1, 3, -1, -1, -1)
    optimizer = torch.optim.Adam(model.parameters(), 3e-2)
    first = None
    for _ in range(40):
        loss = sum(model.loss(batch).values())
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < .2 * first


def test_s3r_learns_from_some_frames(scope):
    thinned, whole = (build('s3r', stride=stride).train() for stride in (2, 1))
    batch = inputs(thinned)
    some = {**batch, **{key: batch[key][..., ::2] for key in ('clip_stft', 'turned_stft')}}
    assert thinned.loss(batch) == whole.loss(some) != whole.loss(batch)
    assert thinned.predict(batch)['stft'].shape == batch['turned_stft'].shape


def test_spectra_keep_their_levels_and_become_sound_again(scope):
    front = MODELS.build(SPECTRA)
    torch.manual_seed(0)
    clip = torch.randn(2, 2, 4000)
    turned = torch.stack([clip, 3 * clip, .5 * clip], 1)
    batch = front(dict(inputs=dict(clip=5 * clip, turned=turned)))['inputs']
    torch.testing.assert_close(batch['turned_stft'], torch.stack(
        [batch['clip_stft'] * k / 5 for k in (1, 3, .5)], 1))
    torch.testing.assert_close(
        front.waves(batch['turned_stft'], batch['scale'], 4000), turned, rtol=1e-4, atol=1e-4)
    power = batch['clip_stft'].abs().square()  # of the same sound as the encoder's spectrograms
    torch.testing.assert_close(power.clamp_min(1e-5).log(), batch['clip'], rtol=1e-3, atol=1e-3)
    with pytest.raises(MultiSSLError, match='hop of 80.*window of 64.*spectra_hop'):
        MODELS.build(dict(SPECTRA, hop_length=80))


def test_retrieval_learns_a_linear_map(scope):
    model = build('vr').eval()
    model.sound.norm.running_mean.normal_()
    a, b = torch.randn(2, 4, 16, 4, 3).unbind(0)
    probe = model.sound
    torch.testing.assert_close(probe(((a + b) / 2, )), (probe((a, )) + probe((b, ))) / 2)
    found = model.predict(inputs(model))
    for key in ('representation', 'sound', 'video'):
        torch.testing.assert_close(found[key].norm(dim=1), torch.ones(4))
    assert model.frozen and not any(p.requires_grad for p in model.backbone.parameters())


@pytest.mark.parametrize('task, changes, text', [
    ('sp', dict(class_weights=[1., 2.]), 'class_weights has 2.*5 for the classes'),
    ('sp', dict(decoder=dict(TASKS['sp']['decoder'], lift='fold')), "lift is 'fold'.*resize"),
    ('s3r', dict(decoder=dict(TASKS['s3r']['decoder'], lift='fold')), "Spec.*lift is 'fold'"),
    ('s3r', dict(predicts='phase'), "predicts is 'phase'.*mask, direct"),
])
def test_wrong_configs_are_named(scope, task, changes, text):
    with pytest.raises(MultiSSLError, match=text):
        build(task, **changes)


def test_missing_targets_are_named(scope):
    model = build('s3r')
    batch = inputs(model)
    with pytest.raises(MultiSSLError, match='needs turned_stft of a batch.*PackSound'):
        model({k: v for k, v in batch.items() if k != 'turned_stft'}, mode='loss')
    with pytest.raises(ValueError, match="'loss', 'predict', 'tensor'"):
        model(batch, mode='dance')
