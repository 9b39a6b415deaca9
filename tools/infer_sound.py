"""Uses a trained sound model on binaural recordings (WAV, left and right ear).

    # a map over the panorama
    python tools/infer_sound.py work_dirs/sp_b/sp.py CHECKPOINT street.wav --panorama street.mp4
    # what the head would hear if it turned, as WAV
    python tools/infer_sound.py work_dirs/s3r_b/s3r.py CHECKPOINT street.wav
    # segments whose videos fit
    python tools/infer_sound.py work_dirs/vr_b/vr.py CHECKPOINT street.wav
    # representations
    python tools/infer_sound.py configs/sound/il_b_c_a.py CHECKPOINT street.wav

The config is that of the model's work directory. Every two seconds are a prediction; all of them go
to predictions.json and predictions.npz, pictures and sounds beside these.
"""
import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

import multissl_mm  # noqa: F401  (creates the scope of its registries)
from multissl_mm.apis import SoundInferencer, write_predictions
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.permissions import ALLOW_OUTSIDE, TRUST_CHECKPOINT, add_permissions


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('sounds', nargs='+', help='WAV files of two channels')
    parser.add_argument('--panorama', help='picture or video of the same place and time, '
                        'equirectangular, to draw the map on')
    parser.add_argument('--rows', nargs=2, type=float, metavar=('FROM', 'TO'), help='share of the '
                        "panorama's height that the map covers (default: as the checkpoint "
                        'says, else 0 1)')
    parser.add_argument('--sample-rate', type=int, help='of the sounds that the model was trained '
                        'with (default: as the checkpoint says)')
    parser.add_argument('--top', type=int, default=5, help='segments to retrieve')
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--device', help='default: what there is')
    parser.add_argument('--out', default='outputs', help='folder (default: %(default)s)')
    add_permissions(parser, ALLOW_OUTSIDE, TRUST_CHECKPOINT)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    inferencer = SoundInferencer(args.config, args.checkpoint, args.device, args.sample_rate)
    result = inferencer(args.sounds, batch_size=args.batch_size, panorama=args.panorama,
                        out_dir=args.out, rows=args.rows, top=args.top)
    # What the head would hear is in the WAV files.
    write_predictions(result['predictions'], args.out, without=('turned', ))
    table = Table('file', 's', 'prediction')
    for pred in result['predictions']:
        table.add_row(Path(pred['file']).name, f'{pred["start"]:g}', inferencer.in_words(pred))
    console = Console(markup=False)
    console.print(table)
    files = [*result['visualization'], str(Path(args.out) / 'predictions.json')]
    console.print('\n'.join(files), highlight=False, soft_wrap=True)


if __name__ == '__main__':
    run_tool(main)
