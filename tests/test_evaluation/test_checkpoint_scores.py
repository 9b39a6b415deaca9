"""Which checkpoints and configs can be scored; a run of its stages is in test_sound_runs."""
import pytest
import sounds
import tiny

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.checkpoint_scores import score_checkpoints, scores_table


def test_what_cannot_be_scored(images, tmp_path):
    with pytest.raises(MultiSSLError, match='mocov2: contrast with a queue .* no score'):
        score_checkpoints(tiny.tiny_config('mocov2', images, tmp_path), ['random'])
    cfg = sounds.sound_config('b', tmp_path / 'gone', tmp_path)
    with pytest.raises(MultiSSLError, match='gone does not exist'):
        score_checkpoints(cfg, ['random'])


def test_tasks_that_were_not_learned_have_no_score():
    table = scores_table(dict(stage1=dict(b=dict(top1=.5)),
                              last=dict(b=dict(top1=.25), c=dict(r=.75))))
    assert [column.header for column in table.columns] == ['', 'b top1', 'c r']
    assert [list(column.cells) for column in table.columns[1:]] == [
        ['0.500', '0.250'], ['-', '0.750']]
