"""The paper's tables and figures, each behind one command, with controls, verdicts and a report.

    python tools/reproduce.py table4 --rows il_mocov2_densecl           # demo size, two CPU cores
    python tools/reproduce.py table4 --seeds 3 --jobs 2                 # all but DetCo's
    python tools/reproduce.py study --seeds 2 --jobs 2                  # ways of keeping M
    python tools/reproduce.py study_sound --seed 5 6 --jobs 2           # seeds 5 and 6
    python tools/reproduce.py all --scale study --seeds 3 --jobs 8      # pictures and sound
    python tools/reproduce.py all --scale study --print                 # as jobs of Slurm
    python tools/reproduce.py table4 --scenes products                  # real products
    python tools/reproduce.py table4 --report --out FOLDER              # of what is in there
    python tools/reproduce.py table4 --rows mocov2 --full --gpus 8      # ImageNet, VOC2007, COCO
    python tools/reproduce.py table4 --rows detco --checkpoint DETCO.pth --full --gpus 8
    python tools/reproduce.py table2b --rows il_b_c --downstream sp     # one cell
    python tools/reproduce.py table3 --full --gpus 4                    # OmniAudio

A row is pretrained, then evaluated: pictures with the VOC07 SVM protocol, linear segmentation (not
in the paper) and Mask R-CNN, sound with semantic prediction, video retrieval and S3R. What is there
is not made again, whichever table it was made for. But for --scale paper the data are simulated
streets, and the numbers show what the code does, not what the method is worth on real ones.
"""
import argparse
from pathlib import Path

from multissl_mm.reproduce import TABLES, TARGETS, reproduce_table
from multissl_mm.reproduce.scales import SCALES
from multissl_mm.utils.cli import positive, run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=sorted(TARGETS), metavar='TABLE', help='%(choices)s')
    parser.add_argument('--rows', nargs='+', metavar='ROW', help='; '.join(
        f'{name}: {", ".join(table.rows)} (default: {", ".join(table.default) or "all"})'
        for name, table in TABLES.items()))
    parser.add_argument('--downstream', nargs='+', metavar='TASK', help='only these: of sound sp, '
                        'vr, s3r; of pictures svm, segmentation (linear), mask_rcnn; none: '
                        'pretrain only')
    parser.add_argument('--scale', choices=list(SCALES), help='default: demo')
    parser.add_argument('--scenes', choices=['streets', 'products'], default='streets',
                        help='what pictures show: simulated streets (default), or real products '
                        '(tools/evidence/fetch.sh products)')
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument('--seeds', type=positive, default=1, metavar='N', help='so many: 0 to N - 1 '
                       '(default: 1)')
    seeds.add_argument('--seed', nargs='+', type=int, metavar='K', help='these instead')
    parser.add_argument('--full', action='store_true', help='the same as --scale paper: ImageNet, '
                        'VOC2007 and COCO, or OmniAudio, in data/')
    parser.add_argument('--gpus', type=int, default=0, help='each training on so many (default: no '
                        'launcher)')
    parser.add_argument('--jobs', type=int, default=1, metavar='N', help='commands that run at '
                        'once; at demo size as many as there are cores are fastest. With several '
                        'GPUs each gets one, or as many as --gpus')
    parser.add_argument('--print', action='store_true', dest='printed', help='print jobs for Slurm '
                        'instead')
    parser.add_argument('--fresh', action='store_true', help='make anew what other code has made')
    parser.add_argument('--report', action='store_true', help='run nothing, show what is there')
    parser.add_argument('--checkpoint', help='of the row detco, or of the sound rows audioset (see '
                        'tools/model_converters/yamnet.py) or supervised (export_backbone.py)')
    parser.add_argument('--out', type=Path, help='default: work_dirs/table4_<scale>, '
                        'study_<scale>, tables_sound_<scale>; trainings lie beside it, in runs/')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = vars(parser.parse_args())
    args.pop('traceback')
    count, which = args.pop('seeds'), args.pop('seed')
    reproduce_table(**args, seeds=which or range(count))


if __name__ == '__main__':
    run_tool(main)
