"""What was computed, found again by what determines it."""
import argparse
import hashlib
import json
import os
import platform
import shutil
import time
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import torch
from mmengine.config import Config

from ..datasets.omniaudio import unlabelled
from ..errors import MultiSSLError
from ..runtime import add_cfg_options, apply_options, git_state, load_config, versions
from ..runtime.continuity import essentials
from ..utils.digest import digest, file_digest
from ..utils.files import link_or_copy, read_json, write_atomically
from ..utils.images import files_below
from ..utils.nested import dicts
from ..utils.project import PACKAGE

#: Rooms whose code decides what a run comes to.
DECIDING = ('apis', 'converters', 'datasets', 'engine', 'evaluation', 'models', 'responses',
            'runtime', 'utils')
#: So many files of a folder are looked into at most.
LOOKED_AT = 10_000
#: And at so many bytes in the middle of each.
LOOKED_IN = 4096


class Origin(NamedTuple):
    """What determines something, as one of the values that determine what is made of it.

    Args:
        identity (Any): With its seed.
        settings (Any): Whichever the seed: equal for all seeds of one row.
    """
    identity: Any
    settings: Any


class Stored(NamedTuple):
    """The name of something computed, in the folder of the store.

    Args:
        name (str): ``<row>-<digest>``: a folder of that name, or a file with an ending.
        settings (str): Digest of what determines it but for its seed.
    """
    folder: Path
    name: str
    settings: str = ''

    @property
    def identity(self) -> str:
        """The digest in it."""
        return self.name.rpartition('-')[2]

    @property
    def origin(self) -> Origin:
        """As it determines what is made of it."""
        return Origin(self.identity, self.settings)

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

    @property
    def finished(self) -> bool:
        """Whether it says when it was."""
        return 'date' in self.read_made()

    @property
    def lock(self) -> Path:
        """Held by the process that makes it, under whichever name."""
        return self.folder / f'{self.identity}.lock'

    def read_made(self) -> Dict[str, Any]:
        """How it was made, as far as that is known."""
        try:
            return read_json(self.made) if self.made.is_file() else {}
        except MultiSSLError:  # torn: nothing is known
            return {}

    def remove(self) -> None:
        """So that it is made anew."""
        if self.path.is_symlink():
            self.path.unlink()
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
        self._data: Dict[Tuple[str, bool], str] = {}
        self._names: Dict[str, str] = {}

    def named(self, key: str, seed: int, *determined: Any) -> Stored:
        """Where that is, or will be, which these values determine.

        The name that equal things got when they were first asked for stays; of several, as of
        commands that were begun at the same time, that of what is finished.
        """
        short = digest([seed, *_of(determined, 'identity')])[:10]
        settings = digest(_of(determined, 'settings'))[:10]
        if short not in self._names:
            self._names[short] = min(
                self._there(short), default=f'{key}-{short}',
                key=lambda name: (not Stored(self.folder, name).finished, name))
        return Stored(self.folder, self._names[short], settings)

    def _there(self, identity: str) -> Set[str]:
        """Under which names it is there; no leftover of a file that was being written is one."""
        names = {path.name.removesuffix('.json').removesuffix('.made')
                 for path in self.folder.glob(f'*-{identity}*')}
        return {name for name in names
                if name.endswith(f'-{identity}') and not name.startswith('.')}

    def remove(self, what: Stored) -> None:
        """So that it is made anew, under whichever names it is there."""
        for name in {what.name, *self._there(what.identity)}:
            Stored(self.folder, name).remove()

    def adopt(self, what: Stored) -> None:
        """Takes what another command has finished under another name since this one was given."""
        if os.path.lexists(what.path) and not what.path.exists():
            what.path.unlink()  # a link to what was removed
        others = [other for name in sorted(self._there(what.identity) - {what.name})
                  if (other := Stored(self.folder, name)).finished
                  and other.read_made().get('code') == code_digest()]
        if not others or what.made.exists() or what.path.exists():
            return
        if others[0].path.is_dir():
            try:
                what.path.symlink_to(others[0].name, target_is_directory=True)
            except OSError:  # a file system without links
                return
        for source, target in ((others[0].json, what.json), (others[0].made, what.made)):
            if source.is_file():
                link_or_copy(source, target)

    def data(self, *roots: str, labels: bool = True) -> List[str]:
        """Of folders of data, what is in them; each is looked at once.

        Args:
            labels (bool): Also labels that were added to scenes of sound.
        """
        return [self._digest(root, labels) for root in roots]

    def _digest(self, root: str, labels: bool) -> str:
        if (root, labels) not in self._data:
            before = {} if labels else unlabelled(root)
            self._data[root, labels] = folder_digest(root, before) if labels or before else \
                self._digest(root, True)
        return self._data[root, labels]

    def begin(self, what: Stored, done: Path, title: str, command: Sequence[str],
              inputs: Sequence[str], threads: int) -> None:
        """Notes what is about to be made, and by which code; of what was begun before that stays.

        Args:
            done (Path): What is there when it is finished.
            threads (int): That the command has.
        """
        lost = what.finished and not done.exists()
        if lost or not what.made.exists():
            write_atomically(what.made, json.dumps(dict(
                title=title, command=list(command), made_of=list(inputs), settings=what.settings,
                code=code_digest(), git=git_state(), versions=versions(), threads=threads,
                device=torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu',
                processor=processor(), cores=os.cpu_count(), seconds=0.), indent=2))

    def end(self, what: Stored, seconds: float) -> None:
        """Notes when it was finished, and the time that this took of the clock in all."""
        made = what.read_made()
        if 'date' in made:  # another one made it meanwhile
            return
        made.update(seconds=made.get('seconds', 0.) + seconds,
                    date=time.strftime('%Y-%m-%d %H:%M:%S %z'))
        write_atomically(what.made, json.dumps(made, indent=2))


def _of(value: Any, field: str) -> Any:
    """A value with one side of every origin in it."""
    if isinstance(value, Origin):
        return _of(getattr(value, field), field)
    if isinstance(value, (list, tuple)):
        return [_of(item, field) for item in value]
    return value


@cache
def processor() -> str:
    """Its model, as numbers of other processors differ in their last digits, and grow."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    models = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return f'{models[0] if models else platform.machine()}, ' \
        f'{torch.backends.cpu.get_cpu_capability()}'


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
    # Which files below a folder: a run that is resumed may find them elsewhere.
    files = [[node.get(name) for name in ('ann_file', 'data_prefix')]
             for node in dicts(cfg.train_dataloader.dataset)]
    found = dict(essentials(cfg), train_files=digest(files))
    validation = (cfg.get('val_dataloader') or {}).get('dataset')
    if validation:
        found['val_dataloader'] = digest([validation, cfg.get('val_evaluator')])
    return found


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


def folder_digest(root: str, instead: Mapping[str, Optional[str]] = {}) -> str:
    """Names of all files below a folder, and of up to 10,000 their sizes and 4 KiB out of them.

    So data that were made anew are noticed; one changed file of a million need not be. Files behind
    links count, hidden ones do not, and of one that cannot be opened the name alone. Of a file it
    is the digest of its content.

    Args:
        instead (dict): Texts that count in place of files, by paths below the folder; None for a
            file that does not count.
    """
    if os.path.isfile(root):
        return file_digest(root)[:16]
    if not os.path.isdir(root):
        return 'absent'
    names = sorted(name for path in files_below(root)
                   if instead.get(name := os.path.relpath(path, root), '') is not None)
    sha, every = hashlib.sha256(repr(names).encode()), -(-len(names) // LOOKED_AT) or 1
    for name in names[::every]:
        text = instead.get(name)
        with suppress(OSError), open(os.path.join(root, name), 'rb') if text is None else BytesIO(
                text.encode()) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, (size - LOOKED_IN) // 2))
            sha.update(f'{size}'.encode() + file.read(LOOKED_IN))
    return sha.hexdigest()[:16]


def short_path(path: Optional[Path]) -> str:
    """As one would type it from where one is."""
    here = Path.cwd()
    return '' if path is None else str(
        path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)
