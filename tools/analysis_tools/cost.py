"""What a pretraining run of pictures will cost: hours, disk, RAM, traffic, and what bounds it.

    python tools/analysis_tools/cost.py CONFIG --measure work_dirs/machine.json
    python tools/analysis_tools/cost.py CONFIG --gpus 64 --nodes 8 --machine work_dirs/machine.json

--measure is run where the training will be, on one GPU; --machine or single options say the rest.
"""
import argparse
import json
from pathlib import Path

from multissl_mm.benchmarks.cost import IMAGENET, Machine, measure_machine, report_cost
from multissl_mm.runtime import load_config
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.files import write_atomically


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='of pretraining')
    add('--gpus', type=int, default=8, help='of all nodes (default: %(default)s)')
    add('--nodes', type=int, default=1)
    add('--samples', type=int, default=IMAGENET, help='of an epoch (default: %(default)s)')
    add('--measure', type=Path, metavar='JSON', help='time this machine and write what it is')
    add('--batch-size', type=int, default=8, help='of a timed step (default: %(default)s)')
    add('--machine', type=Path, metavar='JSON', help='what --measure wrote')
    for name, what in dict(step='pictures/s that a GPU trains', loader='pictures/s that a core '
                           'loads', disk='MB/s written', network='GB/s', read='MB/s read',
                           cores='of a node', picture='KB of a file',
                           process='MB of RAM of a training process',
                           worker='MB of RAM of a worker of the loader').items():
        add(f'--{name}', type=int if name == 'cores' else float, help=what)
    add('--out', type=Path, help='JSON file for the results')
    add('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    if args.measure:
        machine = measure_machine(load_config(args.config), args.batch_size)
        write_atomically(args.measure, json.dumps(machine._asdict()))
        print(machine)
        return
    known = json.loads(args.machine.read_text()) if args.machine else {}
    known.update((name, value) for name in Machine._fields
                 if (value := getattr(args, name)) is not None)
    missing = {'step', 'loader', 'disk'} - set(known)
    if missing:
        parser.error(f'say --{sorted(missing)[0]}, or --machine with what --measure wrote')
    report_cost(args.config, args.gpus, args.nodes, args.samples, Machine(**known), args.out)


if __name__ == '__main__':
    run_tool(main)
