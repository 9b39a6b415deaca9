"""From a command line to a runner; below models and engine, of which it knows names alone."""
from .checks import check_data
from .config import dicts, drop_pretrained, load_config
from .launch import build_runner
from .prepare import add_arguments, prepare_cfg, use_pretrained
from .run_info import git_state, versions

__all__ = ['add_arguments', 'build_runner', 'check_data', 'dicts', 'drop_pretrained', 'git_state',
           'load_config', 'prepare_cfg', 'use_pretrained', 'versions']
