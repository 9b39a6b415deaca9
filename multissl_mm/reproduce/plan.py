"""Steps that need each other, and the order in which they are made."""
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from ..errors import MultiSSLError
from ..runtime.lock import alone
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
        return self._due(self._anew())

    def _due(self, anew: Set[Path]) -> List[Step]:
        wanted, found = set(self._wanted), []
        for done, step in reversed(self.steps.items()):
            if done in wanted and (done in anew or not done.exists()):
                found.append(step)
                wanted.update(step.needs)
        return found[::-1]

    def _anew(self) -> Set[Path]:
        """What is not to be gone on with: what other code has made, and what was made of it."""
        anew: Set[Path] = set()
        for done, step in self.steps.items() if self.fresh else ():
            if _of_other_code(step) or not anew.isdisjoint(step.needs):
                anew.add(done)
        return anew

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
        anew = self._anew()
        due = self._due(anew)
        steps.expect(len(due))
        for step in due:
            if step.done in anew:  # also what is only begun
                self.store.remove(step.what)
        there = [self.steps[done] for done in self._wanted if done.exists()]
        failed = [error for step in there
                  if (error := _failure(step, partial(self._publish, step)))]
        place = {step.done: k for k, step in enumerate(due)}
        order = TopologicalSorter({step.done: [need for need in step.needs if need in place]
                                   for step in due})
        order.prepare()
        ready: List[Path] = []
        started: Dict[Future, Path] = {}
        running: Set[Future] = set()
        with ThreadPoolExecutor(steps.jobs) as pool:
            try:
                while True:
                    ready = sorted([*ready, *order.get_ready()], key=place.__getitem__)
                    while ready and len(running) < steps.jobs:
                        done = ready.pop(0)
                        future = pool.submit(self._make, self.steps[done], steps)
                        started[future] = done
                        running.add(future)
                    if not running:  # of those behind what has failed none is ever ready
                        break
                    ended, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        step = self.steps[started[future]]
                        error = _failure(step, future.result)
                        if not error:
                            order.done(step.done)
                            error = _failure(step, partial(self._publish, step))
                        if error:
                            failed.append(error)
                            if ready or running:
                                steps.console.print(f'{error}\n(the others go on)', style='red',
                                                    highlight=False, markup=False)
            except (SystemExit, KeyboardInterrupt):  # this process was asked to stop
                steps.stop()
                raise
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        if failed:
            behind = len(due) - len(started)
            more = [f'{len(failed) - 1} more failed'] * (len(failed) > 1) + [
                f'{behind} that need them were not started'] * (behind > 0)
            raise MultiSSLError(str(failed[0]) + ''.join(
                f'\n({text})' for text in more)) from failed[0]

    def _make(self, step: Step, steps: Steps) -> None:
        """Makes a step, or waits for the process that does, which may be another job's."""
        with alone(step.what.lock, lambda owner: steps.console.print(
                f'{step.title}: waits for {owner}, which makes it', style='yellow',
                highlight=False, markup=False), lambda: steps.stopped):
            self.store.adopt(step.what)
            self.store.begin(step.what, step.done, step.title, step.command,
                             [self.steps[need].what.name for need in step.needs], steps.threads)
            start = time.time()
            steps.run(step.title, step.log, *step.command, done=step.done)
            if step.collect is not None and not step.done.exists():
                step.collect()
            self.store.end(step.what, time.time() - start)

    def _publish(self, step: Step) -> None:
        for publish in self._wanted.get(step.done, ()):
            publish()


def _failure(step: Step, action: Callable[[], object]) -> Optional[MultiSSLError]:
    """What is wrong with a step, if anything is; whatever it is, the others go on."""
    try:
        action()
    except MultiSSLError as error:
        return error
    except Exception as error:
        said = MultiSSLError(f'{step.title}: {type(error).__name__}: {error}')
        said.__cause__ = error
        return said
    return None


def _of_other_code(step: Step) -> bool:
    """Whether other code than this has begun it; of what is not there nobody has."""
    return step.what.read_made().get('code', code_digest()) != code_digest()
