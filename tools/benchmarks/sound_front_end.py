"""Clips per second, with the STFT on the model's device or in the loader's workers.

    python tools/benchmarks/sound_front_end.py configs/sound/c.py
    python tools/benchmarks/sound_front_end.py configs/sound/c.py --data-root data/omniaudio

Three ways from WAV files to what the encoder sees, with the sound part of a config's pipeline and
its data_preprocessor: waveforms out of the worker and spectrograms from SoundPreprocessor (this
project's way), spectrograms out of the worker, and waveforms alone, for what reading costs. Without
--data-root, recordings of noise are written to a temporary folder.
"""
import argparse
from pathlib import Path

from mmengine.device import get_device

from multissl_mm.benchmarks.sound_front_end import Loading, measure_front_end
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--data-root', help='what the converter wrote (default: noise)')
    parser.add_argument('--rate', type=int, default=48000, help='of the noise, in Hz '
                        '(default: %(default)s)')
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--batch-size', type=int, default=24)
    parser.add_argument('--batches', type=int, default=10, help='of a round')
    parser.add_argument('--rounds', type=int, default=5, help='that count')
    parser.add_argument('--device', default=get_device(), help='default: %(default)s')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    loading = Loading(args.workers, args.batch_size, args.batches, args.device)
    measure_front_end(args.config, args.data_root, args.rate, loading, args.rounds, args.out)


if __name__ == '__main__':
    run_tool(main)
