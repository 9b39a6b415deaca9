"""What the metrics of sound have in common."""
from typing import Any, Dict, List, Sequence, Tuple

from mmengine.evaluator import BaseMetric

from ...errors import MultiSSLError


class SoundMetric(BaseMetric):
    """A metric that says what it needs of every sample, and that there must be one.

    Subclasses write :meth:`measure` and :meth:`summarise`.

    Raises:
        MultiSSLError: If a sample lacks something, or if there is no sample.
    """

    #: Entries of a sample, as the model's predictions and the pipeline give them.
    needs: Tuple[str, ...] = ()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keeps what :meth:`measure` gives of each sample."""
        for sample in data_samples:
            missing = [key for key in self.needs if key not in sample]
            if missing:
                raise MultiSSLError(f'{type(self).__name__} needs {", ".join(sorted(missing))} of '
                                    'every sample; see PackSound.keys of the pipeline')
            self.results.append(self.measure(sample))

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Of all samples, see :meth:`summarise`."""
        if not results:
            raise MultiSSLError(f'{type(self).__name__} was given no sample; is the split of the '
                                'dataset empty?')
        return self.summarise(results)

    def measure(self, sample: dict) -> dict:
        """What is kept of a sample, on the CPU."""
        raise NotImplementedError

    def summarise(self, results: List[dict]) -> Dict[str, float]:
        """Metrics by name, of what :meth:`measure` gave."""
        raise NotImplementedError
