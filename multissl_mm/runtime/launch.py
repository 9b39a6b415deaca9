"""From options to a run, on one process or several."""
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..errors import MultiSSLError
from ..utils.stopping import listening
from .checks import check_steps
from .config import load_config
from .continuity import check_same_data
from .large_batch import use_large_batch
from .lock import hold
from .logs import forgive_logs
from .options import RunOptions
from .prepare import prepare_cfg
from .processes import decided, start_group
from .resume import after_restart, choose_checkpoint
from .run_info import write_run_info

#: What a config must have to be trained.
TRAINED = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')


def train(options: RunOptions) -> Runner:
    """Trains a config of this project, of mmpretrain or of mmdet: what ``tools/train.py`` does.

    Returns:
        Runner: After training.

    Raises:
        MultiSSLError: If the options do not fit the config, the machine or the files.
        Interrupted: A SystemExit, if it was asked to stop and has kept what it did.
    """
    cfg = prepare_cfg(load_config(options.config), options)
    missing = [key for key in TRAINED if not cfg.get(key)]
    if missing and 'runner_type' not in cfg:
        raise MultiSSLError(f'{options.config} has no {missing[0]}, so there is nothing to train')
    runner = build_runner(cfg, options)
    check_steps(runner)
    with listening():
        runner.train()
    return runner


def test(options: RunOptions) -> dict:
    """Tests ``options.checkpoint``: what ``tools/test.py`` does.

    Returns:
        dict: Metrics by name.

    Raises:
        MultiSSLError: If the config has nothing to test with, or the checkpoint does not fit it.
    """
    cfg = load_config(options.config)
    if cfg.get('test_cfg') is None or not cfg.get('test_dataloader'):
        raise MultiSSLError(f'{options.config} has no test_dataloader: it is a pretraining config? '
                            'See configs/benchmarks for what can be tested')
    return build_runner(prepare_cfg(cfg, options), options).test()


def build_runner(cfg: Config, options: RunOptions) -> Runner:
    """Builds the runner of a prepared config and writes ``run_info.json``.

    Raises:
        MultiSSLError: If the checkpoint that it starts from is not there.
    """
    start_group(cfg)
    if options.large_batch:
        use_large_batch(cfg, get_world_size())
    training = options.checkpoint is None
    resume = options.resume
    if training:
        decided(lambda: hold(cfg.work_dir))
        resume = after_restart(cfg, resume)
    meta = choose_checkpoint(cfg, resume, options.accept_changes,
                             options.overwrite or not training)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if meta:
        data = getattr(runner.train_dataloader, 'dataset', None)
        decided(lambda: check_same_data(cfg.load_from, meta, data, options.accept_changes))
    _count_accumulation(runner)
    forgive_logs(runner)
    write_run_info(runner, options.config)
    return runner


def _count_accumulation(runner: Runner) -> None:
    # A step of the optimizer sees as many batches as are accumulated; MMEngine's ``scale_lr``
    # counts one. The config that the run writes stays as it is.
    scale = runner.cfg.get('auto_scale_lr') or {}
    batches = (runner.cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    if scale.get('enable') and batches > 1:
        base = scale['base_batch_size']
        runner.auto_scale_lr = dict(scale, base_batch_size=base / batches)
        runner.logger.info(f'auto_scale_lr: {batches} batches are accumulated, so that its '
                           f'base_batch_size of {base} is {base / batches:g} of each')
