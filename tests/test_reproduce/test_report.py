"""The report: whole in one file, of results that nobody measured."""
import json
import re
from html.parser import HTMLParser

import pytest

from multissl_mm.reproduce import reproduce_table, write_report
from multissl_mm.reproduce.costs import cost, curves, named_trainings
from multissl_mm.reproduce.pictures import COLUMNS, FIGURE1B, TABLE4
from multissl_mm.reproduce.sound import TABLE3
from multissl_mm.reproduce.store import Stored

GAINS = dict(random=0., mocov2=3., densecl=4., il_mocov2_densecl=6., mocov2_long=6.5)


class Page(HTMLParser):
    """Tags that are open, and what a page would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.ids = [], [], set()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get('id'))
        self.fetched += [attrs[key] for key in ('src', 'href') if key in attrs and
                         not attrs[key].startswith(('data:image/svg+xml;base64,', '#'))]
        if tag not in ('meta', 'img', 'br', 'link'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def write_fake(out, seeds=3):
    for seed in range(seeds):
        folder = out / f'seed{seed}'
        folder.mkdir(parents=True)
        for key, gain in GAINS.items():
            for run in ('svm', 'segmentation'):
                metrics = {c.metric: 30 + gain + .1 * seed * (1 + gain) for c in COLUMNS
                           if c.run == run}
                made = dict(code='new' if seed else 'old', codes=['new' if seed else 'old'],
                            device='a <fake> device', versions=dict(torch='0'), git=None,
                            cost=dict(steps=1488 * (gain > 0), samples=95232, seconds=400.))
                (folder / f'{key}_{run}.json').write_text(json.dumps({**metrics, 'made': made}))
        (folder / 'il_mocov2_densecl_curves.json').write_text(json.dumps(dict(
            stages=[['stage 1: mocov2', 0, 2], ['stage 2: densecl', 2, 4]],
            curves={'forgetting/mocov2': [[3, 4], [.1, .2]],
                    'gradient_norm_ratio/mocov2-densecl': [[2.5, 3, 4], [.1, .2, .15]]})))


def test_one_file_with_all_of_it(tmp_path):
    write_fake(tmp_path)
    path = write_report([(TABLE4, tmp_path), (TABLE3, tmp_path / 'none')],
                        tmp_path / 'report.html', 'Fake', 'Numbers that nobody measured.')
    text = path.read_text()
    page = Page()
    page.feed(text)
    assert page.open == [] and page.fetched == []
    for link in re.findall(r'href="#(.+?)"', text):
        assert link in page.ids
    assert 'a &lt;fake&gt; device' in text  # whatever is in results, it is text
    assert '2 states of the code' in text
    assert 'paper 86.4' in text and 'rank 1' in text and '1,488' in text and '6.7 min' in text
    row = re.search(r'IL \(M\+D\) better than MoCo v2 \(M\).*?</tr>', text, re.S)[0]
    assert 'section 5.4' in row and '>holds<' in row and '+2.06' in row
    # A claim in two columns is named once.
    assert len(re.findall(r'<th rowspan="2">IL \(M\+D\) better than M, as long as IL', text)) == 1
    control = re.search(r'IL \(M\+D\) better than M, as long as IL.*?</tr>', text, re.S)[0]
    assert '>does not hold<' in control and 'section' not in control
    # The trade-off, what is forgotten, and the ratio of gradients; the cosine was not logged.
    assert text.count('data:image/svg+xml;base64,') == 3
    assert 'Gain over random' in text and '+6.' in text


def test_what_is_frozen_against_what_is_trained_is_said(tmp_path):
    (tmp_path / 'seed0').mkdir()
    for key in ('concat_mocov2_densecl', 'mocov2'):
        for run in ('svm', 'mask_rcnn'):
            (tmp_path / 'seed0' / f'{key}_{run}.json').write_text('{"mAP": 3, "bbox_mAP": 2}')
    write_report([(TABLE4, tmp_path)], tmp_path / 'a.html', 'a', 'b')
    lines = (tmp_path / 'a_claims.csv').read_text().splitlines()[1:]
    assert [('(frozen against trained)' in line, 'SVM' in line) for line in lines] == [
        (False, True), (True, False)]


def test_seeds_of_different_settings_are_named(tmp_path):
    write_fake(tmp_path)
    for seed, settings in enumerate(('new', 'old', 'new')):
        for key in ('mocov2', 'densecl'):
            path = tmp_path / f'seed{seed}' / f'{key}_svm.json'
            found = json.loads(path.read_text())
            found['made']['settings'] = settings if key == 'mocov2' else 'new'
            path.write_text(json.dumps(found))
    text = write_report([(TABLE4, tmp_path)], tmp_path / 'a.html', 'a', 'b').read_text()
    line, = re.findall('<p class="open">(.*of other settings.*)</p>', text)
    assert line.startswith('MoCo v2 (M): seed1 (svm) of other settings or data than its other')
    both = write_report([(TABLE4, tmp_path), (FIGURE1B, tmp_path)], tmp_path / 'a.html', 'a', 'b')
    assert both.read_text().count('of other settings') == 1  # a row of both


def test_of_a_folder_without_running_anything(tmp_path, capsys):
    write_fake(tmp_path / 'out', seeds=1)
    (tmp_path / 'out/seed0/densecl_svm.json').write_text('{"mAP": 33}')  # of an earlier version
    found = reproduce_table('table4', report=True, out=tmp_path / 'out')
    assert list(found) == list(GAINS)
    text = (tmp_path / 'out' / 'table4.html').read_text()
    assert 'do not say what they were made' in text
    assert 'IL: SVM mAP at least 5 above random' in text  # what must hold
    assert '>holds<' not in text.partition('id="claims-')[2]  # of one seed
    claims = (tmp_path / 'out/table4_claims.csv').read_text()
    assert 'better than' in claims and 'holds' not in claims  # of one seed
    said = capsys.readouterr().out
    assert (tmp_path / 'out' / 'table4.csv').is_file() and 'table4.html' in said
    assert 'What must hold' in said
    assert not (tmp_path / 'runs').exists()


def test_runs_of_earlier_versions_lie_under_the_names_of_rows(trained, tmp_path):
    out = tmp_path / 'out'
    (out / 'seed0').mkdir(parents=True)
    trained.path.rename(out / 'seed0' / 'il_mocov2_densecl')
    rows = dict(TABLE4.rows, on=TABLE4.rows['densecl']._replace(start='mocov2'))
    assert [(what.name, stage) for what, stage in named_trainings(rows, out, 'on')] == [
        ('il_mocov2_densecl', 'stage1_mocov2.pth'), ('on', None)]
    for key in ('mocov2', 'il_mocov2_densecl'):
        (out / 'seed0' / f'{key}_svm.json').write_text('{"mAP": 40}')
    text = write_report([(TABLE4, out)], out / 'report.html', 'a', 'b').read_text()
    costs = re.findall(r'<td>(\d+)</td><td>(\d+)</td>\n<td>(\d+ s)</td>', text)
    assert costs == [('10', '80', '5 s'), ('20', '160', '10 s')]
    assert text.count('data:image/svg+xml') == 2  # with what was forgotten


def test_nothing_yet(tmp_path):
    (tmp_path / 'out').mkdir()
    assert reproduce_table('table4', report=True, out=tmp_path / 'out') == {}


@pytest.fixture
def trained(tmp_path):
    """What a run of two stages of 2 epochs of 5 steps leaves, with a start that was interrupted."""
    what = Stored(tmp_path, 'il-0')
    for start, steps in (('1', range(1, 9)), ('2', range(6, 21))):
        logs = what.path / start / 'vis_data'
        logs.mkdir(parents=True)
        lines = [dict(iter=step, epoch=1 + (step - 1) // 5, time=.5, loss=1.) for step in steps]
        lines += [{'iter': 15, 'epoch': 3, 'forgetting/m': .25}] * (start == '2')
        (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
        (logs / 'config.py').write_text(
            "train_cfg = dict(stages=[2, 2])\ntrain_dataloader = dict(batch_size=8)\n"
            "model = dict(tasks=[dict(name='m'), dict(name='d')])\n")
    return what


def test_costs_are_those_of_the_logs_and_of_a_stage_alone(trained):
    assert cost([(trained, None), (trained, None)]) == dict(steps=20, samples=160, seconds=10.)
    assert cost([(trained, 'stage1_m.pth')]) == dict(steps=10, samples=80, seconds=5.)
    assert cost([(Stored(trained.folder, 'none'), None)])['steps'] == 0
    found = curves(trained.path)
    assert found['curves'] == {'forgetting/m': [[3.], [.25]]} and len(found['stages']) == 2


def test_validations_cost_nothing(tmp_path):
    """Neither in between nor where a resumed run begins with one."""
    what, validation = Stored(tmp_path, 'x'), dict(top1=1., time=9., step=1)
    watch = dict(iter=5, epoch=1, forgetting=.5)  # behind a step that is not logged
    for start, lines in (
            ('1', [dict(iter=4, epoch=1, time=.5, loss=1.), watch, validation]),
            ('2', [validation, dict(iter=9, epoch=2, time=.5, loss=1.)])):
        logs = what.path / start / 'vis_data'
        logs.mkdir(parents=True)
        (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
        (logs / 'config.py').write_text('train_dataloader = dict(batch_size=8)\n')
    assert cost([(what, None)]) == dict(steps=9, samples=72, seconds=4.5)
