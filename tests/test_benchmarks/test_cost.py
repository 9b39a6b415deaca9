"""What a run costs, against sums by hand."""
import json

import pytest
import tiny
from rich.console import Console

from multissl_mm.benchmarks import cost
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import load_config

MACHINE = cost.Machine(step=400., loader=300., disk=500., network=10., read=1000., cores=64)


@pytest.fixture
def cfg(scope, tmp_path):
    return tiny.tiny_config('il_mocov2_densecl', tmp_path, tmp_path)


def test_bytes_are_those_of_the_model(cfg):
    found = cost.sizes(cfg)
    model, views = cost.build(cfg)
    assert [view.shape for view in views] == [(2, 3, 32, 32)] * 2
    assert found.gradients == 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert found.responses['mocov2'] == 16 * 4  # a vector, float32
    # Stages of equal length: pixels there; back a vector of M, the map of D.
    assert found.exchanged == 3 * 32**2 + (4 * 16 + 4 * tiny.CHANNELS) // 2
    assert found.views == 2 * 3 * 32**2
    one = tiny.tiny_config('mocov2', '', '')
    assert cost.sizes(one).exchanged == 3 * 32**2 + 4 * 16


def test_a_run_is_as_fast_as_what_is_slowest(cfg):
    cfg.train_dataloader.update(batch_size=32, num_workers=8)
    found = cost.Sizes(gradients=10**8, state=3 * 10**8, responses=dict(a=100, b=50000),
                       exchanged=10**6)
    one = cost.estimate(cfg, found, MACHINE, 8, samples=10**6)
    assert one['bound'] == 'steps' and one['rates']['steps'] == 3200
    assert one['rates']['loading'] == 64 * 300 and 'network' not in one['rates']
    assert one['hours'] == pytest.approx(4 * 10**6 / 3200 / 3600)
    assert one['gpu_hours'] == pytest.approx(8 * one['hours']) and one['traffic_gb'] == 0
    # 2 replicas of what the first task answers; nobody is held to the last one.
    assert one['bank_gb'] == dict(a=pytest.approx(.2))
    many = cost.estimate(cfg, found, MACHINE._replace(network=.1), 64, 8, 10**6)
    per_picture = 2 * 10**8 * 7 / 8 / 2048 + 10**6 * 7 / 8 / 8
    assert many['bound'] == 'network'
    assert many['rates']['network'] == pytest.approx(1e8 / per_picture)
    few_cores = cost.estimate(cfg, found, MACHINE._replace(cores=4), 8, samples=10**6)
    assert few_cores['bound'] == 'loading' and few_cores['rates']['loading'] == 1200
    with pytest.raises(MultiSSLError, match='9 GPUs are not shared evenly by 2 nodes'):
        cost.estimate(cfg, found, MACHINE, 9, 2)


@pytest.mark.parametrize('kept, checkpoints', [({}, 4), (dict(max_keep_ckpts=1), 1),
                                               (dict(max_keep_ckpts=-1), 4)])
def test_all_checkpoints_are_kept_where_no_number_is_given(cfg, kept, checkpoints):
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1, **kept)
    one = cost.estimate(cfg, cost.Sizes(1, 10**9, {}, 1), MACHINE, 1)
    assert one['checkpoints_gb'] == checkpoints + 2  # of four epochs, and one at each stage's end


@pytest.mark.parametrize('name', ['supervised', 'concat_mocov2_densecl'])
def test_what_makes_no_views_is_refused(name):
    with pytest.raises(MultiSSLError, match='has no CropViews; name a config'):
        cost.sizes(load_config(str(tiny.CONFIGS / f'{name}.py')))


def test_a_step_of_stored_experts_reads_what_was_stored(scope, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = tiny.tiny_config('euclidean-dist_mocov2_densecl', tmp_path, tmp_path)
    assert cfg.model.responses.source == 'stored'
    assert cost.measure_machine(cfg, 2, 1, 2).step > 0


def test_memory_of_a_node(cfg):
    """Four processes with three workers each."""
    cfg.train_dataloader.update(batch_size=10, num_workers=3, prefetch_factor=4)
    dataset = cfg.train_dataloader.dataset.dataset
    dataset.pipeline[0].cache_mb = 100
    found = cost.Sizes(1, state=10**8, responses=dict(a=100, b=50000), exchanged=0, views=2000)
    machine = MACHINE._replace(process=1000, worker=50)
    ram = cost.estimate(cfg, found, machine, 8, 2, 10**6)['ram_gb']
    names = ram.pop('names of files')
    assert ram == {
        'processes': 4., 'workers': pytest.approx(.6), 'a checkpoint': .2,
        'cached pictures': pytest.approx(12 * 100 * 2**20 / 1e9),
        'batches on their way': pytest.approx(4 * 13 * 10 * 2100 / 1e9)}
    dataset.type = 'multissl_mm.PictureShards'
    assert .2 < names < cost.estimate(cfg, found, machine, 8, 2, 10**6)['ram_gb']['names of files']


def test_the_bank_of_densecl_at_full_size(scope):
    """49 positions and a vector of 512 in float16, 20 times: 1.3 TB."""
    cfg = load_config(str(tiny.CONFIGS / 'il_densecl_mocov2.py'))
    cfg.model.responses.replicas = 20
    found = cost.Sizes(1, 1, dict(densecl=50 * 512 * 2, mocov2=1), 0)
    size = cost.estimate(cfg, found, MACHINE, 8)['bank_gb']
    assert size == dict(densecl=pytest.approx(1312, rel=.01))


def test_measured_on_this_machine_and_reported(cfg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    machine = cost.measure_machine(cfg, 2, 1, 2)
    assert min(machine[:3]) > 0 and machine.process > machine.worker > 0
    cfg.dump('config.py')
    console = Console(record=True, width=120)
    found = cost.report_cost('config.py', 8, 1, 10**9, machine, tmp_path / 'x.json', console)
    assert json.loads((tmp_path / 'x.json').read_text())['hours'] == found['hours']
    text = console.export_text()
    assert 'GPU-hours' in text and 'RAM of a node: ' in text and "source='teacher'" in text
