"""The numbers of the paper's tables, each behind one command.

    python tools/reproduce.py table4 --rows il_mocov2_densecl           # demo size, two CPU cores
    python tools/reproduce.py table4 --seeds 0 1 2                      # all but DetCo
    python tools/reproduce.py study --seeds 0 1 --jobs 2                # ways of keeping M
    python tools/reproduce.py study_sound --seeds 0 1 --jobs 2          # ways of keeping B and C
    python tools/reproduce.py table4 --rows mocov2 --full --gpus 8      # ImageNet, VOC2007, COCO
    python tools/reproduce.py table4 --rows detco --checkpoint DETCO.pth --full --gpus 8
    python tools/reproduce.py table2a                                   # sound: single tasks
    python tools/reproduce.py table2b --rows il_b_c --downstream sp     # one cell
    python tools/reproduce.py table3 --full --gpus 4                    # OmniAudio

A row is pretrained, then evaluated: Table 4 with the VOC07 SVM protocol, linear segmentation (not
in the paper) and Mask R-CNN, Tables 2 and 3 with semantic prediction, video retrieval and S3R. At
demo size the data are simulated streets, and the numbers show what the code does, not what the
method is worth on real ones.
"""
import argparse
from pathlib import Path

from multissl_mm.reproduce import TABLES, reproduce_table
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=sorted(TABLES), metavar='TABLE', help='%(choices)s')
    parser.add_argument('--rows', nargs='+', metavar='ROW', help='; '.join(
        f'{name}: {", ".join(table.rows)} (default: {", ".join(table.default) or "all"})'
        for name, table in TABLES.items()))
    parser.add_argument('--downstream', nargs='+', metavar='TASK', help='only these: sp, vr, s3r; '
                        'of Table 4 and the study svm, segmentation (linear), mask_rcnn')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--full', action='store_true', help='the real thing, on ImageNet, VOC2007 '
                        'and COCO, or OmniAudio, in data/ instead of the demo')
    parser.add_argument('--gpus', type=int, default=0, help='train on so many (default: no '
                        'launcher)')
    parser.add_argument('--jobs', type=int, default=1, metavar='N', help='commands that run at '
                        'once; at demo size as many as there are cores are fastest')
    parser.add_argument('--checkpoint', help='of the row detco, or of the sound rows audioset (see '
                        'tools/model_converters/yamnet.py) or supervised (export_backbone.py)')
    parser.add_argument('--out', type=Path, help='default: work_dirs/table4_<demo or full>, '
                        'work_dirs/tables_sound_<demo or full>')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = vars(parser.parse_args())
    args.pop('traceback')
    reproduce_table(**args)


if __name__ == '__main__':
    run_tool(main)
