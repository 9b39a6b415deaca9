"""Steps of full-size models on a GPU that is not there: what would keep the host waiting?"""
import linecache
import sys
from math import prod
from pathlib import Path
from typing import Any, Container, Dict, List, Optional, Sequence, Set, Tuple

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).parent.parent
aten = torch.ops.aten
#: Ops whose result, or its size, the host has to read from the device.
READS = {aten._local_scalar_dense.default, aten.item.default, aten.nonzero.default,
         aten.equal.default, aten.is_nonzero.default, aten.masked_select.default,
         aten._unique2.default, aten.unique_consecutive.default, aten.bincount.default,
         aten.repeat_interleave.Tensor}
#: What is made with more elements is not computed on the CPU either.
LARGE = 10000
COPIES = {aten._to_copy.default, aten.copy_.default}


class NoWaits(TorchDispatchMode):
    """Notes where a step waits for the device, and goes on.

    Ops on the device are computed by shape alone, on FakeTensors, so that neither a GPU nor its
    memory is needed; what is on the CPU is computed. A mix of both is an error of FakeTensor.

    Waits are reads of a device's tensor on the host, and copies to the device that are blocking or
    start from memory that is not pinned, for which the host waits in any case.

    Enter a ``FakeTensorMode(allow_non_fake_inputs=True)`` first.

    Args:
        allowed (container[str]): Files, from ``site-packages`` or the project's folder on, whose
            waits are no matter.
    """

    def __init__(self, allowed: Container[str] = ()) -> None:
        super().__init__()
        self.allowed = allowed
        self.waits: List[str] = []
        self.seen: Set[str] = set()  # names of ops on the device
        self.calls = 0  # of them, without questions which device a tensor is on
        self.pinned: Dict[int, Tensor] = {}  # by their storage, which lives as long

    def pin(self, tensor: Tensor) -> Tensor:
        """As ``pin_memory`` does; there is no GPU to pin it for."""
        self.pinned[tensor.untyped_storage()._cdata] = tensor
        return tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Tuple = (), kwargs: Any = None
                           ) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        if func is aten._pin_memory.default:
            return self.pin(args[0].clone())
        if not any(isinstance(x, FakeTensor) or isinstance(x, torch.device) and x.type == 'cuda'
                   for x in leaves) and not _is_large(args):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        self.seen.add(func.__name__)
        self.calls += func.namespace == 'aten'
        masks = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)] \
            if func is aten.index.Tensor else []
        if (func in READS or masks) and args[0].is_cuda:
            self.note(func)
            if func in (aten._local_scalar_dense.default, aten.item.default):
                return False if args[0].dtype is torch.bool else 0
            if func is aten.masked_select.default:  # as if all but one of each row were
                return args[0][:, 1:].flatten()
        if func in COPIES:
            source = args[1] if func is aten.copy_.default else args[0]
            target = args[0].device if func is aten.copy_.default else kwargs.get('device')
            non_blocking = kwargs.get('non_blocking', len(args) > 2 and args[2])
            if target is not None and target.type != source.device.type and (
                    not non_blocking or source.device.type == 'cuda' or
                    source.untyped_storage()._cdata not in self.pinned):
                self.note(func)
        return func(*args, **kwargs)

    def note(self, func: Any) -> None:
        """Where: the innermost line that is not torch's."""
        frame: Any = sys._getframe(1)
        while '/torch/' in frame.f_code.co_filename or frame.f_code.co_filename == __file__:
            frame = frame.f_back
        file = frame.f_code.co_filename.rpartition('site-packages/')[2].replace(f'{ROOT}/', '')
        if file not in self.allowed:
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            self.waits.append(f'{file}:{frame.f_lineno} {func}: {line}')


def _is_large(args: Tuple) -> bool:
    return any(isinstance(a, (list, tuple)) and all(isinstance(n, int) for n in a)
               and prod(a) > LARGE for a in args)


def move(model: nn.Module, device: str) -> nn.Module:
    """``model.to(device)``, which refuses FakeTensors."""
    for module in model.modules():
        for name, param in list(module._parameters.items()):
            if param is not None:
                module._parameters[name] = nn.Parameter(param.detach().to(device),
                                                        param.requires_grad)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = buffer.to(device)
        if hasattr(module, '_device'):  # of a data preprocessor
            module._device = torch.device(device)
    return model


@torch.no_grad()
def backward(loss: Tensor, gradient: Optional[Tensor] = None) -> Dict[Any, Tensor]:
    """What ``loss.backward()`` computes, node by node: torch's engine asks the GPU for its streams.

    Returns:
        dict: Gradients of the leaves, by leaf.
    """
    order: List[Any] = []
    seen: Set[Any] = set()
    stack = [(loss.grad_fn, False)]
    while stack:  # parents before what they lead to, in reverse
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((n, False) for n, _ in node.next_functions if n is not None)
    given: Dict[Any, Dict[int, Tensor]] = {
        loss.grad_fn: {0: torch.ones_like(loss) if gradient is None else gradient}}
    leaves: Dict[Any, Tensor] = {}
    for node in reversed(order):
        grads = given.pop(node, None)
        if not grads:
            continue
        if hasattr(node, 'variable'):
            leaves[node.variable] = grads[0]
            continue
        call = node if callable(node) else node.apply  # of a torch.autograd.Function
        outs = call(*(grads.get(i) for i in range(len(node._input_metadata))))
        outs, edges = outs if isinstance(outs, tuple) else (outs, ), node.next_functions
        if not callable(node):  # has no edges for what is no tensor
            outs = [out for out, needed in zip(outs, node.needs_input_grad) if needed]
            edges = [edge for edge in edges if edge[0] is not None]
        for (parent, i), grad in zip(edges, outs):
            if parent is not None and grad is not None:
                wanted = parent._input_metadata[i]  # what was broadcast or cast, as the engine does
                grad = grad.sum_to_size(wanted.shape).to(wanted.dtype)
                before = given.setdefault(parent, {})
                before[i] = before[i] + grad if i in before else grad
    return leaves


def grad(loss: Tensor, inputs: Sequence[Tensor], gradient: Optional[Tensor] = None, **kwargs: Any
         ) -> Tuple[Optional[Tensor], ...]:
    """For ``torch.autograd.grad``, see :func:`backward`."""
    found = backward(loss, gradient)
    return tuple(found.get(x) for x in inputs)
