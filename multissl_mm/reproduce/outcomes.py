"""What commands leave, under the names of the rows that they were for."""
import json
import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Dict, Sequence

from ..engine.hooks.checkpoint import FINAL
from ..errors import MultiSSLError
from ..utils.files import atomic_path, read_json, read_json_lines, write_atomically
from ..utils.project import project_folder
from .costs import cost, curves
from .plan import Step
from .row import Encoder
from .store import Stored

#: Of a folder that a row has for itself.
OWN = (FINAL, 'concat.pth')


def publish(result: Path, step: Step, encoder: Encoder, link: Path) -> None:
    """Writes an evaluation of the store under its name in a table's folder.

    With what it was made of and what its encoder cost; where a row was pretrained alone, its folder
    gets a link of its name, and what was watched a file.
    """
    made, made_by = step.what.read_made(), [what.read_made() for what, _ in encoder.trained]
    metrics = read_json(step.done)
    text = json.dumps({**metrics, 'made': dict(
        {k: v for k, v in made.items() if k != 'command'}, of=step.what.name,
        settings=step.what.settings,  # as they are called by the code of now
        commands=[_typed(made['command']) for made in (*made_by, made) if 'command' in made],
        encoder=[what.name for what, _ in encoder.trained],
        codes=sorted({str(made.get('code')) for made in (made, *made_by)}),
        cost=cost(encoder.trained))}, indent=2)
    write_atomically(result, text)
    if not encoder.trained or encoder.checkpoint is None or encoder.checkpoint.name not in OWN:
        return
    own = encoder.checkpoint.parent
    if not own.is_dir() and link.is_symlink():  # to another, perhaps of other settings
        link.unlink(missing_ok=True)
    if own.is_dir() and (link.is_symlink() or not link.exists()):
        # In one step, as another command may publish the same; a file system may have no links.
        with suppress(MultiSSLError), atomic_path(link, durable=False) as part:
            part.symlink_to(os.path.relpath(own.resolve(), link.parent.resolve()),
                            target_is_directory=True)
    watched = curves(own)
    if watched:
        write_atomically(link.with_name(f'{link.name}_curves.json'), json.dumps(watched))


def _typed(command: Sequence[str]) -> str:
    """As one would type it in the project's folder, whichever it was run from."""
    return shlex.join(['python', *command]).replace(f'{project_folder()}/', '')


def collect(what: Stored, prefix: str, times: float = 1.) -> None:
    """Writes the last metrics of a run of the store, as :func:`last_metrics`, times so much."""
    metrics = last_metrics(what.path, prefix)
    write_atomically(what.json, json.dumps({k: times * v for k, v in metrics.items()}, indent=2))


def last_metrics(work_dir: Path, prefix: str) -> Dict[str, float]:
    """The last metrics of a prefix that ``tools/train.py`` or ``test.py`` wrote, without it.

    Raises:
        MultiSSLError: If there are none.
    """
    found: Dict[str, float] = {}
    tests = '*/[0-9]*_[0-9]*.json'  # named by their time
    for path in sorted([*work_dir.glob('*/vis_data/scalars.json'), *work_dir.glob(tests)]):
        for logged in read_json_lines(path):
            metrics = {k[len(prefix):]: v for k, v in logged.items() if k.startswith(prefix)}
            found = metrics or found
    if not found:
        raise MultiSSLError(f'{work_dir} has no {prefix[:-1]} metrics; remove that folder and run '
                            'again')
    return found
