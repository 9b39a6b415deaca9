"""How much memory the processes of a run of pictures take on a node, before anyone starts it."""
import gc
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Dict, Sequence

from mmengine.config import Config

from .loader import making

#: A picture of ImageNet, in a folder and in a tar file of it.
NAME = 'train/n01440764/n01440764_10026.JPEG'
PACKED = 'tar://{}/shard-00137.tar?1073741824+110000#{}'


def resident(*kinds: str) -> float:
    """MB of this process that are in memory now; of Linux's kinds of pages, by default all."""
    lines = [line.split() for line in Path('/proc/self/smaps_rollup').read_text().splitlines()[1:]]
    return sum(int(line[1]) for line in lines if line[0][:-1] in (kinds or ('Rss', ))) / 2**10


def measure_worker(steps: Sequence[dict], paths: Sequence[str]) -> float:
    """MB that a worker of the loader does not share with others, behind its first batches.

    Args:
        steps (sequence[dict]): Of the pipeline; what it caches is not counted.
        paths (sequence[str]): Pictures.
    """
    steps = [{**step, 'cache_mb': 0} if 'cache_mb' in step else step for step in steps]
    with ProcessPoolExecutor(1, multiprocessing.get_context('fork')) as pool:
        return pool.submit(_load, steps, paths).result()


def _load(steps: Sequence[dict], paths: Sequence[str]) -> float:
    making(steps, paths)()
    gc.collect()  # sooner or later it writes to every object, and so gets a copy of its page
    return resident('Private_Clean', 'Private_Dirty')


def node_ram(cfg: Config, process: float, worker: float, sample: int, state: int, ranks: int,
             samples: int) -> Dict[str, float]:
    """GB of a node, by what takes it.

    Args:
        cfg (Config): Of pretraining.
        process (float): MB of a training process itself.
        worker (float): MB of a worker itself.
        sample (int): Bytes of a sample as a worker hands it on: its crops, and stored responses.
        state (int): Bytes of a checkpoint.
        ranks (int): Training processes on the node.
        samples (int): Of the data set.
    """
    loader = cfg.train_dataloader
    workers = loader.num_workers
    # Each worker has so many batches begun or waiting; one more is being learned from.
    batches = workers * (loader.get('prefetch_factor') or 2) + 1
    cached = sum(step.get('cache_mb', 0) for step in loader.dataset.dataset.pipeline)
    return {
        'processes': ranks * process / 1e3,
        'workers': ranks * workers * worker / 1e3,
        'cached pictures': ranks * max(1, workers) * cached * 2**20 / 1e9,
        'batches on their way': ranks * batches * loader.batch_size * sample / 1e9,
        # MMEngine keeps entries pickled in one array, which workers share, and where each begins.
        'names of files': ranks * samples * (_entry(loader.dataset.dataset) + 8) / 1e9,
        'a checkpoint': 2 * state / 1e9,  # on the host, and as it is written; of one process
    }


def _entry(dataset: Config) -> int:
    root = dataset.get('data_root') or ''
    packed = str(dataset.get('type')).endswith('Shards')
    return len(pickle.dumps(dict(img_path=PACKED.format(root, NAME) if packed else
                                 f'{root}/{NAME}', gt_label=0), protocol=4))
