"""Long work as commands: printed as one would type them, resumable, with progress."""
import os
import queue
import re
import shlex
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence

import torch
from rich.console import Console

from ..errors import MultiSSLError
from ..utils.files import not_written
from ..utils.pool import cores
from ..utils.stopping import later


class Steps:
    """Runs commands in the current directory and says where one is.

    Args:
        logs (Path): Folder for what the commands print.
        total (int, optional): Number of steps, where it is known.
        console (Console, optional): Where progress is printed.
        jobs (int): How many commands run at once (:meth:`Plan.carry_out`), each of which has its
            share of the cores. Defaults to 1.
        gpus (int): That a command is for. Defaults to 1.
    """

    def __init__(self, logs: Path, total: Optional[int] = None,
                 console: Optional[Console] = None, jobs: int = 1, gpus: int = 1) -> None:
        self.logs, self.total, self.number, self.ended, self.jobs = logs, total, 0, 0, jobs
        self._lock, self.stopped = threading.Lock(), False
        self._expected = time.time(), 0  # since when, how many
        self._running: List[subprocess.Popen] = []
        self.console = console or Console()
        self.start = time.time()
        self._gpus = gpus
        self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for job in range(jobs):
            self._slots.put(job)
        logs.mkdir(parents=True, exist_ok=True)

    def run(self, title: str, log: str, *command: str, done: Optional[Path] = None) -> None:
        """Runs a command, a sign of life every 10 s; does nothing where ``done`` exists.

        Args:
            title (str): What the step is for.
            log (str): Name of its log file, without ``.log``.
            command (str): A shell script of this project and its arguments, or what ``python``
                is to be called with.
            done (Path, optional): What is there when the step was finished before.

        Raises:
            MultiSSLError: If the command fails; with the end of what it printed.
        """
        with self._lock:
            self.number += 1
            number = self.number
        say = partial(self.console.print, highlight=False, markup=False)  # paths may have brackets
        tag = f'[{number}{f"/{self.total}" if self.total else ""}]'
        head, tag = f'{tag} {title}', tag if self.jobs > 1 else ' ' * 5
        if done is not None and done.exists():
            say(f'{head}: done before ({done})')
            return
        if self.stopped:
            raise MultiSSLError(f'step {number} was not started: asked to stop')
        shell = command[0].endswith('.sh')
        say(head, style='bold')
        say(f'      {"" if shell else "python "}{shlex.join(command)}', style='dim',
            soft_wrap=True)
        path, begin, shown = self.logs / f'{log}.log', time.time(), time.time()
        with _log(path) as write:
            with self._started(['bash' if shell else sys.executable, *command], write) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    write(line)
                    sign = sign_of_life(line)
                    if sign and (time.time() - shown > 10 or sign.startswith('stage')):
                        shown = time.time()
                        say(f'{tag} {shown - begin:4.0f} s  {sign}', soft_wrap=True)
        if process.wait():
            tail = path.read_text().splitlines()[-8:]
            raise MultiSSLError(f'step {number} failed; all it printed is in {path}\n' +
                                '\n'.join(tail))
        with self._lock:
            self.ended += 1
        say(f'{tag} finished in {time.time() - begin:.0f} s, {self.minutes:.1f} min since the '
            f'start{self._to_go()}')

    def expect(self, steps: int) -> None:
        """So many are to come."""
        self.total = self.number + steps
        self._expected, self.ended = (time.time(), steps), 0

    def _to_go(self) -> str:
        """What is to come, if it takes as long as what was made so far; where it is hours."""
        since, steps = self._expected
        if self.ended < 3 * self.jobs:
            return ''
        hours = (time.time() - since) / self.ended * (steps - self.ended) / 3600
        return f', about {hours:.1f} h to go' if hours >= 1 else ''

    @contextmanager
    def _started(self, command: Sequence[str], write: Callable[[str], None]
                 ) -> Iterator[subprocess.Popen]:
        """A command, whose end is waited for where this process was asked to stop."""
        process: Optional[subprocess.Popen] = None
        slot = self._slots.get()
        try:
            with later():  # or nobody would know of a command that has just begun
                process = subprocess.Popen(
                    command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    # What starts a launcher of several processes reads which Python it is for.
                    env={**os.environ, 'PYTHON': sys.executable, **self._share(
                        slot, self._gpus if command[0] == 'bash' else 1)})
                self._running.append(process)
            if self.stopped:  # meanwhile
                _end(process)
            yield process
        except BaseException:
            self.stop()
            if process is not None and process.stdout is not None:
                rest = process.stdout.read()
                process.wait()
                write(rest)
            raise
        finally:
            self._slots.put(slot)
            if process is not None:
                self._running.remove(process)

    def stop(self) -> None:
        """Asks the commands that run to end; none is started from now on."""
        self.stopped = True
        for process in list(self._running):
            _end(process)

    def _share(self, slot: int = 0, gpus: int = 1) -> Dict[str, str]:
        """Environment of a command that runs beside others: threads that do not wait for cores.

        And GPUs of its own, as far as there are so many.

        Args:
            slot (int): Of those at once, which.
            gpus (int): That it is for.
        """
        if self.jobs == 1:
            return {}
        share = {name: str(self.threads) for name in (
            'OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'LOKY_MAX_CPU_COUNT')}
        count = torch.cuda.device_count()
        if count > gpus:
            here = os.environ.get('CUDA_VISIBLE_DEVICES')
            names = here.split(',') if here else [*map(str, range(count))]
            # Where launchers have theirs, what is for one GPU takes one of these.
            shares = count // self._gpus
            first = slot % shares * self._gpus if shares > 1 or gpus > 1 else slot % count
            share['CUDA_VISIBLE_DEVICES'] = ','.join(names[first:first + gpus])
        return share

    @property
    def threads(self) -> int:
        """That a command has."""
        if self.jobs == 1:
            return torch.get_num_threads()
        return max(1, cores() // self.jobs)

    @property
    def minutes(self) -> float:
        """Since the first step."""
        return (time.time() - self.start) / 60


@contextmanager
def _log(path: Path) -> Iterator[Callable[[str], None]]:
    """Writes to a file at once, so that it can be followed, and an error is that of its text."""
    with open(path, 'wb', buffering=0) as file:

        def write(text: str) -> None:
            try:
                file.write(text.encode())
            except OSError as e:
                raise not_written(path, e) from e

        yield write


def _end(process: subprocess.Popen) -> None:
    """Asks a command to stop, too; it is killed where it has not after a minute."""
    process.terminate()
    killer = threading.Timer(60, process.kill)
    killer.daemon = True
    killer.start()


def sign_of_life(line: str) -> Optional[str]:
    """What a line of a log says about progress, in short."""
    found = re.search(r'Epoch\((\w+)\)\s+(?:\[(\d+)\])?\[\s*(\d+)/(\d+)\](?:.*?eta: (\S+))?', line)
    if found:
        what, epoch, step, steps, eta = found.groups()
        losses = re.findall(r'  ([\w.]*loss[\w.]*): ([\d.]+)', line)
        # Of the tasks where there are any: the sum says less.
        losses = [loss for loss in losses if '.' in loss[0]] or losses[:1]
        return (f'{what}{" epoch " + epoch if epoch else ""} step {step}/{steps}, eta {eta}  ' +
                '  '.join(f'{name} {value}' for name, value in losses))
    found = re.search(r'INFO - (stage .*|recording .*)', line)
    if found:
        return found.group(1)
    found = re.search(r'\d+\s*%', line)  # a bar of rich
    return ' '.join(re.sub('[━╸╺]', '', line.split('\r')[-1]).split()) if found else None
