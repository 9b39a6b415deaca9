"""What a full disk leaves of logs can be read."""
import logging
from types import SimpleNamespace

from mmengine.visualization import LocalVisBackend

from multissl_mm.runtime.logs import forgive_logs
from multissl_mm.utils.files import read_json_lines


def test_behind_a_torn_line_a_new_one_begins(tmp_path, capsys):
    """Glued to it, the next one would be lost, too."""
    backend = LocalVisBackend(str(tmp_path))
    write = backend.add_scalars
    path = tmp_path / 'scalars.json'

    def full(*args, **kwargs):
        path.open('a').write('{"loss": 3.')
        raise OSError(28, 'No space left on device')

    backend.add_scalars = lambda *args: (full if args[1] == 2 else write)(*args)
    forgive_logs(SimpleNamespace(logger=logging.getLogger('test_logs'), work_dir='here',
                                 visualizer=SimpleNamespace(_vis_backends=dict(a=backend))))
    for step in range(1, 5):
        backend.add_scalars(dict(loss=1.), step)
    said = capsys.readouterr()
    assert 'here: logs cannot be written (No space left on device)' in said.err
    assert path.read_text().count('\n') == 4
    assert [line['step'] for line in read_json_lines(path)] == [1, 3, 4]
    assert 'line 2: left out' in capsys.readouterr().out
