"""Long work as a sequence of commands: printed as one would type them, resumable, with progress."""
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional

from rich.console import Console

from ..errors import MultiSSLError


class Steps:
    """Runs commands one after the other in the current directory and says where one is.

    Args:
        logs (Path): Folder for what the commands print.
        total (int, optional): Number of steps, where it is known.
        console (Console, optional): Where progress is printed.
    """

    def __init__(self, logs: Path, total: Optional[int] = None,
                 console: Optional[Console] = None) -> None:
        self.logs, self.total, self.number = logs, total, 0
        self.console = console or Console()
        self.start = time.time()
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
        self.number += 1
        say = self.console.print
        head = f'[{self.number}{f"/{self.total}" if self.total else ""}] {title}'
        if done is not None and done.exists():
            say(f'{head}: done before ({done})', highlight=False)
            return
        shell = command[0].endswith('.sh')
        say(f'[bold]{head}', highlight=False)
        say(f'      {"" if shell else "python "}{shlex.join(command)}', style='dim',
            soft_wrap=True, highlight=False)
        path, begin, shown = self.logs / f'{log}.log', time.time(), time.time()
        with open(path, 'w') as out:
            process = subprocess.Popen(['bash' if shell else sys.executable, *command], text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            assert process.stdout is not None
            for line in process.stdout:
                out.write(line)
                sign = sign_of_life(line)
                if sign and (time.time() - shown > 10 or sign.startswith('stage')):
                    shown = time.time()
                    say(f'      {shown - begin:4.0f} s  {sign}', highlight=False, soft_wrap=True)
        if process.wait():
            tail = path.read_text().splitlines()[-8:]
            raise MultiSSLError(f'step {self.number} failed; all it printed is in {path}\n' +
                                '\n'.join(tail))
        say(f'      finished in {time.time() - begin:.0f} s, {self.minutes:.1f} min since the '
            'start', highlight=False)

    @property
    def minutes(self) -> float:
        """Since the first step."""
        return (time.time() - self.start) / 60


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
