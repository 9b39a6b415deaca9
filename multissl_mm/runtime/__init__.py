"""From options to a runner; below models and engine, of which it knows names alone."""
from .cfg_options import ConfigOptions, add_cfg_options, apply_options
from .config import build_preprocessor, drop_pretrained, load_config, preprocessor_cfg
from .config_keys import check_keys
from .data_checks import check_data
from .launch import build_runner, test, train
from .options import RunOptions, parse_options
from .prepare import prepare_cfg, use_pretrained
from .resume import choose_checkpoint, newest_checkpoint
from .run_info import git_state, versions

__all__ = ['ConfigOptions', 'RunOptions', 'add_cfg_options', 'apply_options', 'build_preprocessor',
           'build_runner', 'check_data', 'check_keys', 'choose_checkpoint', 'drop_pretrained',
           'git_state', 'load_config', 'newest_checkpoint', 'parse_options', 'prepare_cfg',
           'preprocessor_cfg', 'test', 'train', 'use_pretrained', 'versions']
