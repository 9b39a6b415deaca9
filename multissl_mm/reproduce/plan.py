"""Steps that need each other, and the order in which they are made."""
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from ..errors import MultiSSLError
from .steps import Steps
from .store import Store, Stored, code_digest


class Step(NamedTuple):
    """A command whose result is in the store.

    Args:
        title (str): What it is for.
        log (str): Name of its log file.
        command (tuple[str]): For :meth:`Steps.run`.
        done (Path): What is there when it is finished.
        what (Stored): Name of it.
        needs (tuple[Path]): ``done`` of other steps that have to be finished before.
        collect (callable): Makes ``done`` of what the command left, where that does not itself.
    """
    title: str
    log: str
    command: Tuple[str, ...]
    done: Path
    what: Stored
    needs: Tuple[Path, ...] = ()
    collect: Optional[Callable[[], None]] = None


class Plan:
    """Steps in an order in which they could be made; the same one is made once.

    Args:
        store (Store): Of all of them.
        fresh (bool): Make anew what other code has made. Defaults to False.
    """

    def __init__(self, store: Store, fresh: bool = False) -> None:
        self.store, self.fresh = store, fresh
        self.steps: Dict[Path, Step] = {}
        self._wanted: Dict[Path, List[Callable[[], None]]] = {}

    def add(self, step: Step) -> Path:
        """Adds a step that others may need; it is made if one that is wanted does.

        Returns:
            Path: Its ``done``.
        """
        self.steps.setdefault(step.done, step)
        return step.done

    def want(self, step: Step, publish: Callable[[], None] = lambda: None) -> None:
        """Adds a step that is to be finished in any case.

        Args:
            publish (callable): Called when it is, also if it was before.
        """
        self._wanted.setdefault(self.add(step), []).append(publish)

    def due(self) -> List[Step]:
        """What has to be made: what is wanted and not there, and what that needs."""
        anew: Set[Path] = set()
        if self.fresh:
            for done, step in self.steps.items():
                if _of_other_code(step) or not anew.isdisjoint(step.needs):
                    anew.add(done)
        wanted, found = set(self._wanted), []
        for done, step in reversed(self.steps.items()):
            if done in wanted and (done in anew or not done.exists()):
                found.append(step)
                wanted.update(step.needs)
        return found[::-1]

    def others(self) -> List[Step]:
        """What is there and was made by other code than this."""
        return [step for step in self.steps.values()
                if step.done.exists() and _of_other_code(step)]

    def carry_out(self, steps: Steps) -> None:
        """Makes what is due in the order of the plan, ``steps.jobs`` at a time.

        So results come as encoders do, and who makes a plan says what is long and comes first.
        What needs a step that fails is left out, all else goes on: a night's work is not lost for
        one row.

        Raises:
            MultiSSLError: At the end, if steps have failed: the first, and how many more.
        """
        due = self.due()
        steps.expect(len(due))
        for step in due if self.fresh else ():
            if _of_other_code(step) or step.done.exists():
                step.what.remove()
        for done in self._wanted:
            if done.exists():
                self._publish(done)
        waiting = {step.done: step for step in due}
        running: Dict[Future, Path] = {}
        failed: List[MultiSSLError] = []
        left_out: Set[Path] = set()
        with ThreadPoolExecutor(steps.jobs) as pool:
            try:
                while waiting or running:
                    for done in list(waiting):
                        busy = {*waiting, *running.values()}
                        if len(running) < steps.jobs and busy.isdisjoint(waiting[done].needs):
                            running[pool.submit(self._make, waiting.pop(done), steps)] = done
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        done = running.pop(future)
                        try:
                            future.result()
                        except MultiSSLError as error:
                            failed.append(error)
                            if waiting or running:
                                steps.console.print(f'{error}\n(the others go on)', style='red',
                                                    highlight=False, markup=False)
                            lost = _behind(done, waiting)
                            left_out |= lost
                            waiting = {d: step for d, step in waiting.items() if d not in lost}
                        else:
                            self._publish(done)
            except (SystemExit, KeyboardInterrupt):  # this process was asked to stop
                steps.stop()
                raise
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        if failed:
            more = [f'{len(failed) - 1} more failed'] * (len(failed) > 1) + [
                f'{len(left_out)} that need them were not started'] * bool(left_out)
            raise MultiSSLError(str(failed[0]) + ''.join(f'\n({text})' for text in more))

    def _make(self, step: Step, steps: Steps) -> None:
        self.store.begin(step.what, step.done, step.title, step.command,
                         [self.steps[need].what.name for need in step.needs])
        start = time.time()
        steps.run(step.title, step.log, *step.command, done=step.done)
        if step.collect is not None and not step.done.exists():
            step.collect()
        self.store.end(step.what, time.time() - start)

    def _publish(self, done: Path) -> None:
        for publish in self._wanted.get(done, ()):
            publish()


def _behind(done: Path, steps: Dict[Path, Step]) -> Set[Path]:
    """Those of steps, in the order of a plan, that cannot be made without it."""
    found = {done}
    for other, step in steps.items():
        if not found.isdisjoint(step.needs):
            found.add(other)
    return found - {done}


def _of_other_code(step: Step) -> bool:
    """Whether other code than this has begun it; of what is not there nobody has."""
    return step.what.read_made().get('code', code_digest()) != code_digest()
