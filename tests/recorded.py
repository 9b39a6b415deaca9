"""Long work of which only the commands are looked at."""
import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from rich.console import Console

from multissl_mm.reproduce import Steps
from multissl_mm.reproduce.plan import Plan, Step
from multissl_mm.reproduce.rows import TableRun
from multissl_mm.reproduce.store import Store
from multissl_mm.utils.project import project_folder


class RecordedSteps(Steps):
    """Steps that are not run but leave what the next one needs.

    Args:
        leave (callable): From the file that says a step is done to what is in it.
    """

    def __init__(self, logs: Path, leave: Callable[[Path], Dict[str, Any]]) -> None:
        super().__init__(logs, console=Console(quiet=True))
        self.leave = leave
        self.commands: List[str] = []

    def run(self, title, log, *command, done=None):
        if done is not None and not done.exists():
            self.commands.append(' '.join(command))
            done.parent.mkdir(parents=True, exist_ok=True)
            done.write_text(json.dumps(self.leave(done)))

    def check_files(self) -> None:
        """All configs and tools that the commands name are there."""
        for word in '\n'.join(self.commands).replace('=', ' ').split():
            name = word.removeprefix(f'{project_folder()}/')
            if name.startswith(('configs/', 'tools/')):
                assert (project_folder() / name).is_file(), word


def evaluate(run: TableRun, key: str, runs: Sequence[str]) -> None:
    """Evaluates a row, pretrained if need be."""
    plan = Plan(run.store)
    run.add(plan, key, runs)
    plan.carry_out(run.steps)


def python_step(store: Store, name: str, *code: str, needs: Sequence[Path] = ()) -> Step:
    """Python code that is told the file which it is to make."""
    what = store.named(name, 0, name)
    return Step(name, name, ('-c', *code, str(what.json)), what.json, what, tuple(needs))
