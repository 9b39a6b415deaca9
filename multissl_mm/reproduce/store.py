"""What was computed, found again by what determines it."""
import argparse
import hashlib
import json
import os
import shutil
import time
from functools import cache
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.config import Config

from ..runtime import add_cfg_options, apply_options, git_state, load_config, versions
from ..runtime.continuity import essentials
from ..utils.digest import digest, file_digest
from ..utils.files import write_atomically
from ..utils.project import PACKAGE

#: Rooms whose code decides what a run comes to.
DECIDING = ('apis', 'datasets', 'engine', 'evaluation', 'models', 'responses', 'runtime', 'utils')
#: So many files of a folder are looked into at most.
LOOKED_AT = 10_000


class Stored(NamedTuple):
    """The name of something computed, in the folder of the store.

    Args:
        name (str): ``<row>-<digest>``: a folder of that name, or a file with an ending.
    """
    folder: Path
    name: str

    @property
    def identity(self) -> str:
        """The digest in it."""
        return self.name.rpartition('-')[2]

    @property
    def path(self) -> Path:
        """Work directory of a training."""
        return self.folder / self.name

    @property
    def json(self) -> Path:
        """Metrics of an evaluation."""
        return self.folder / f'{self.name}.json'

    @property
    def made(self) -> Path:
        """How it was made."""
        return self.folder / f'{self.name}.made.json'

    def read_made(self) -> Dict[str, Any]:
        """How it was made, as far as that is known."""
        return json.loads(self.made.read_text()) if self.made.is_file() else {}

    def remove(self) -> None:
        """So that it is made anew."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.json.unlink(missing_ok=True)
        self.made.unlink(missing_ok=True)


class Store:
    """Trainings and evaluations of all tables, each under the digest of what determines it.

    That is: the values of its config that decide what it comes to (those that a run compares when
    it is resumed), after all options; its seed; the data; and the names of what it starts from. So
    what two tables have in common is made once, and what has changed is made again under another
    name. The code is not part of the name: a comment that changes would throw a night's work away.
    It is noted (``<name>.made.json``), differences are said, and ``--fresh`` makes anew what other
    code has made.

    Args:
        folder (Path): Of all of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data: Dict[str, str] = {}
        self._names: Dict[str, str] = {}

    def named(self, key: str, seed: int, *determined: Any) -> Stored:
        """Where that is, or will be, which these values determine.

        The name that equal things got when they were first asked for stays.
        """
        short = digest([seed, *determined])[:10]
        if short not in self._names:
            there = [path.name.split('.')[0] for path in self.folder.glob(f'*-{short}*')]
            self._names[short] = min(there, default=f'{key}-{short}')
        return Stored(self.folder, self._names[short])

    def data(self, *roots: str) -> List[str]:
        """Of folders of data, what is in them; each is looked at once."""
        for root in roots:
            if root not in self._data:
                self._data[root] = folder_digest(root)
        return [self._data[root] for root in roots]

    def begin(self, what: Stored, done: Path, title: str, command: Sequence[str],
              inputs: Sequence[str]) -> None:
        """Notes what is about to be made, and by which code; of what was begun before that stays.

        Args:
            done (Path): What is there when it is finished.
        """
        lost = 'date' in what.read_made() and not done.exists()
        if lost or not what.made.exists():
            write_atomically(what.made, json.dumps(dict(
                title=title, command=list(command), made_of=list(inputs), code=code_digest(),
                git=git_state(), versions=versions(), threads=torch.get_num_threads(),
                device=torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu',
                cores=os.cpu_count(), seconds=0.), indent=2))

    def end(self, what: Stored, seconds: float) -> None:
        """Notes when it was finished, and the time that this took of the clock in all."""
        made = what.read_made()
        if 'date' in made:  # another one made it meanwhile
            return
        made.update(seconds=made.get('seconds', 0.) + seconds,
                    date=time.strftime('%Y-%m-%d %H:%M:%S %z'))
        write_atomically(what.made, json.dumps(made, indent=2))


@cache
def merged(config: str, options: Tuple[str, ...]) -> Config:
    """A config with options as on a command line; the same object for the same arguments."""
    cfg = load_config(config)
    if options:
        parser = argparse.ArgumentParser()
        add_cfg_options(parser)
        apply_options(cfg, parser.parse_args(['--cfg-options', *options]).cfg_options)
    return cfg


def deciding(config: str, options: Tuple[str, ...] = ()) -> Dict[str, Any]:
    """Of a config with options, what decides what a training and its validation come to."""
    cfg = merged(config, options)
    validation = (cfg.get('val_dataloader') or {}).get('dataset')
    return dict(essentials(cfg), **({'val_dataloader': digest(validation)} if validation else {}))


def code_digest() -> str:
    """Of the sources that decide what a run comes to; comments count."""
    return _code_digest(PACKAGE)


@cache
def _code_digest(package: Path) -> str:
    sha = hashlib.sha256()
    for path in sorted(path for room in DECIDING for path in (package / room).rglob('*.py')):
        sha.update(str(path.relative_to(package)).encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()[:16]


def folder_digest(root: str) -> str:
    """Names of all files below a folder, and of up to 10,000 their sizes and 4 KiB out of them.

    So data that were made anew are noticed; one changed file of a million need not be. Of a file
    it is the digest of its content.
    """
    if os.path.isfile(root):
        return file_digest(root)[:16]
    if not os.path.isdir(root):
        return 'absent'
    names = sorted(os.path.relpath(os.path.join(folder, name), root)
                   for folder, _, files in os.walk(root) for name in files)
    sha, every = hashlib.sha256(repr(names).encode()), -(-len(names) // LOOKED_AT) or 1
    for name in names[::every]:
        path = os.path.join(root, name)
        size = os.path.getsize(path)
        with open(path, 'rb') as file:
            file.seek(size // 2)
            sha.update(f'{size}'.encode() + file.read(4096))
    return sha.hexdigest()[:16]


def short_path(path: Optional[Path]) -> str:
    """As one would type it from where one is."""
    here = Path.cwd()
    return '' if path is None else str(
        path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)
