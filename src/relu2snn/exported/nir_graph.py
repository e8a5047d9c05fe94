"""A spiking network as a graph of NIR, https://neuroir.org, of neurons that spike exactly once.

A neuron is weights J → I → IF: a spike is an impulse, I makes a step of it, IF integrates the steps to the potential.
All else that it does comes from one more input, the clock, a single spike at time 0, delayed:

- slope α: a spike of weight α into I at t_start; what fills up Σ_j J_ij, as the reference neuron does: one at t_min;
- the forced spike: an impulse into IF at t_max that no potential stays below; after a spike the reset is so far below
  that nothing brings the neuron up again before the end;
- no spike before t_start, whatever inputs have come by then: a threshold higher by as much as these can add, and an
  impulse of that at t_start.

The earliest spike of a pool is the sum of its spikes → IF with threshold ½, the latest one of k that with k − ½. A
read-out is weights → I → I, whose potential is to be read at t_min.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.exported.neurons import (
    Constants,
    begin_of,
    constants_of,
    delays_of,
    earliest_of,
    ends_of,
    largest_weights,
)
from relu2snn.exported.nir_layout import first_channel, layout
from relu2snn.exported.nir_maps import Graph, Signal
from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Shape, receptive_fields
from relu2snn.spiking.nodes import Earliest, Encoder, Firing, Neurons, Potential, SpikingNetwork, tensors_of

Array = NDArray[np.float64]


def nir_graph(network: SpikingNetwork, nir: Any) -> Any:
    """The graph, whose nodes of neurons, pools and inputs have the names of the network's tensors.

    Raises ValueError, which names the layer, for what NIR has no nodes for.
    """
    return _Writer(network, nir).graph()


class _Writer:
    def __init__(self, network: SpikingNetwork, nir: Any) -> None:
        self._network, self._nir = network, nir
        names = {name for node in network for name in tensors_of(node) or (node.name,)}
        self._graph = Graph(nir, names)
        self._ends, self._earliest = ends_of(network), earliest_of(network)
        # Neurons that no output waits for may end later.
        self._last = max(network.latency, *self._ends.values())
        self._signals: dict[str, Signal] = {}
        self._clocks: dict[tuple[float, bool], Signal] = {}

    def graph(self) -> Any:
        for node in self._network:
            if len(node.shape) > 3:
                raise ValueError(
                    f"layer {node.name!r}: its shape {node.shape} has three sides, for which NIR has no convolution; "
                    "export to .npz or .h5"
                )
        flat = all(len(node.shape) == 1 for node in self._network)
        self._clock_shape: Shape = (1,) if flat else (1, 1, 1)
        shape = np.array(layout(self._clock_shape))
        self._clock_name = self._graph.add("clock", self._nir.Input(input_type={"input": shape}), sources=[])
        for node in self._network:
            self._graph.layer = node.name
            match node:
                case Encoder():
                    entered = self._nir.Input(input_type={"input": np.array(layout(node.shape))})
                    self._made(node.name, entered, [], node.shape)
                case Firing():
                    self._segment(node)
                case Earliest():
                    self._pool(node)
                case Potential():
                    self._readout(node)
        return self._nir.NIRGraph(nodes=self._graph.nodes, edges=self._graph.edges, metadata=self._metadata())

    def _segment(self, node: Firing) -> None:
        alone = len(node.populations) == 1
        maps = node.maps
        if alone:
            gain = np.asarray(node.populations[0].gain, np.float64)
            maps = {name: map_.scaled(np.ones(1), gain) for name, map_ in maps.items()}
        weighted = self._weighted(node, maps)
        for each in node.populations:
            own = weighted
            if not alone:
                gain = np.broadcast_to(np.asarray(each.gain, np.float64), node.shape)
                own = self._graph.scaled(gain, weighted, label=each.name)
            self._neurons(node, each, own)

    def _weighted(self, node: Firing | Potential, maps: Any) -> Signal:
        """What comes in through the maps, delayed so that all windows end together."""
        waits, names = delays_of(node, self._ends), list[str]()
        for tensor, map_ in maps.items():
            label = f"{node.name}_of_{tensor}" if len(maps) > 1 else node.name
            signal = self._graph.delayed(waits[tensor], self._signals[tensor], label=label)
            names += self._graph.ordered(self._graph.mapped(map_, signal, label=label), label).names
        return Signal(tuple(names), node.shape)

    def _neurons(self, node: Firing, each: Neurons, weighted: Signal) -> None:
        own = constants_of(node, each)
        bounds = self._bounds(node, each, own)
        steps = [self._clocked(node.t_start, own.slope, node.shape, f"{each.name}_slope")]
        if own.clock.any():
            steps.append(self._clocked(node.t_min, own.clock, node.shape, f"{each.name}_reference"))
        r = np.ones(layout(node.shape))
        current = self._graph.add(f"{each.name}_current", self._nir.I(r=r), sources=[*weighted.names, *steps])
        impulses = [self._clocked(node.t_max, bounds["forced"], node.shape, f"{each.name}_forced")]
        if bounds["armed"].any():
            impulses.append(self._clocked(node.t_start, bounds["armed"], node.shape, f"{each.name}_armed"))
        threshold, reset = (first_channel(bounds[key].reshape(node.shape)) for key in ("threshold", "reset"))
        neurons = self._nir.IF(r=r, v_threshold=threshold, v_reset=reset)
        self._made(each.name, neurons, [current, *impulses], node.shape)

    def _bounds(self, node: Firing, each: Neurons, own: Constants) -> dict[str, Array]:
        """What no potential passes: impulses and resets that do what they are for, in every run until the end."""
        waits = delays_of(node, self._ends)
        first = min([node.t_start, *(self._earliest[name] + wait for name, wait in waits.items())])
        gain, positions = np.asarray(each.gain, np.float64), int(np.prod(node.shape[:-1]))
        positive, negative = (np.tile(largest_weights(node.maps, gain, sign=sign), positions) for sign in (1, -1))
        size = positive + negative + np.abs(own.clock) + np.abs(own.slope)
        ahead = positive * (node.t_start - first)
        needed = (ahead > 0) | (own.threshold <= 0)
        armed = np.where(needed, np.maximum(ahead - own.threshold, 0) + 1, 0.0)
        threshold = own.threshold + armed
        forced = np.abs(threshold) + size * (node.t_max - first) + 1
        reset = threshold - forced - size * (self._last - first) - 1
        return {"armed": armed, "threshold": threshold, "forced": forced, "reset": reset}

    def _pool(self, node: Earliest) -> None:
        waits, counts, names = delays_of(node, self._ends), np.zeros(node.shape), list[str]()
        for tensor in node.tensors:
            label = f"{node.name}_of_{tensor}" if len(node.tensors) > 1 else node.name
            signal = self._graph.delayed(waits[tensor], self._signals[tensor], label=label)
            shape = signal.shape
            # One weight for each channel is written as a sum of the pool.
            ones = Convolution(shape, np.ones((*node.window.sizes, 1, shape[-1])), node.window, groups=shape[-1])
            names += self._graph.mapped(ones, signal, label=label).names if node.window.rank else signal.names
            counts += (receptive_fields(shape[:-1], node.window) >= 0).sum(axis=1).reshape(*node.shape[:-1], 1)
        if not (counts > 0).all():
            raise ValueError(f"layer {node.name!r}: a pool sees nothing but margins, so that no spike comes out of it")
        threshold = first_channel(np.where(node.latest, counts - 0.5, 0.5))
        reset = first_channel(-counts - 1)
        self._made(
            node.name, self._nir.IF(r=np.ones(threshold.shape), v_threshold=threshold, v_reset=reset), names, node.shape
        )

    def _readout(self, node: Potential) -> None:
        weighted = self._weighted(node, node.maps)
        slope = np.broadcast_to(np.asarray(node.bias, np.float64), node.shape).ravel() / node.before
        steps = (
            [self._clocked(node.t_min - node.before, slope, node.shape, f"{node.name}_slope")] if slope.any() else []
        )
        shape = layout(node.shape)
        current = self._graph.add(
            f"{node.name}_current", self._nir.I(r=np.ones(shape)), sources=[*weighted.names, *steps]
        )
        potential = self._graph.add(f"{node.name}_potential", self._nir.I(r=np.ones(shape)), sources=[current])
        output = self._nir.Output(output_type={"output": np.array(shape)})
        self._graph.add(node.name, output, sources=[potential], exactly=True)

    def _made(self, name: str, node: Any, sources: list[str], shape: Shape) -> None:
        self._graph.add(name, node, sources=sources, exactly=True)
        self._signals[name] = Signal((name,), shape)

    def _clocked(self, time: float, weights: Array, shape: Shape, label: str) -> str:
        """The node that gives each neuron its own of `weights` (n,) at a time."""
        vector = self._clock(time, flat=len(shape) == 1)
        if len(shape) == 1:
            node = self._nir.Linear(weight=weights[:, None])
            return self._graph.add(label, node, sources=vector.names)
        return self._graph.laid_out(weights[:, None], vector, shape=shape, label=label).names[0]

    def _clock(self, time: float, *, flat: bool) -> Signal:
        if (time, flat) not in self._clocks:
            signal = Signal((self._clock_name,), self._clock_shape)
            if flat and len(self._clock_shape) > 1:
                signal = self._graph.flat(self._clock(time, flat=False), self._clock_name)
            else:
                signal = self._graph.delayed(time, signal, label=self._clock_name)
            self._clocks[time, flat] = signal
        return self._clocks[time, flat]

    def _metadata(self) -> dict[str, Any]:
        """What NIR has no place for: when inputs spike, when outputs are read, which windows neurons have."""
        inputs = {
            node.name: {"image": node.image, "low": np.atleast_1d(node.low), "high": np.atleast_1d(node.high)}
            for node in self._network.encoders
        }
        windows = {name: np.array(span) for name, span in self._network.spans.items()}
        outputs = {
            node.name: {"read_at": begin_of(node), "activation": node.activation} for node in self._network.potentials
        }
        return {
            "inputs": inputs, "windows": windows, "outputs": outputs, "latency": self._network.latency,
            "clock": self._clock_name,
        }  # fmt: skip
