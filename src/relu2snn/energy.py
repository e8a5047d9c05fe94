"""The energy of a network by a stated model of hardware: counted operations times what one of them takes.

Plain arithmetic, so that tables need neither TensorFlow nor a network; `relu2snn.spiking.costs` does the counting. The
constants are the caller's; those of the workflow are in conf/energy/, with their source. docs/costs.md has the formulas
and what they leave out.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """What one image takes on average.

    synapses: all there are; operations: over each spike before the end of its window, the synapses that it reaches;
    forced: the synapses of the others, which stand for 0. neurons: those that spike. reference: neurons with a synapse
    from a clock at t_min; start: neurons that begin to integrate at t_start, outputs too. dense_macs, effective_macs:
    multiply-accumulates of the ReLU network, all, and those of a weight and an activation that are not 0. integration:
    for how long neurons integrate, summed over them; latency: when the output is read, both in input windows.
    """

    synapses: int
    operations: float
    forced: float
    neurons: int
    reference: int
    start: int
    dense_macs: int
    effective_macs: float
    integration: float
    latency: float

    @property
    def share(self) -> float:
        """The share of units that spike before the end of their window, each weighed by its synapses."""
        return self.operations / self.synapses if self.synapses else 0.0

    @property
    def clocks(self) -> int:
        """Accumulates that need no spike: each neuron begins at t_start with slope α, and has α + Σ J from t_min on.

        At t_min all inputs have spiked or are forced, so the slope is known: it stands for forced spikes, too.
        """
        return self.start + self.neurons

    def energy(self, model: "EnergyModel") -> "Energy":
        """The energy of the network, spiking and not, by a model."""
        mac, accumulate = model.per_mac, model.per_accumulate
        updates = self.integration / model.resolution * accumulate if model.resolution else None
        allowed = self.dense_macs * mac / accumulate - self.clocks
        return Energy(
            dense=self.dense_macs * mac,
            effective=self.effective_macs * mac,
            spiking=(self.operations + self.clocks) * accumulate,
            all_spikes=(self.operations + self.forced + self.reference + self.start) * accumulate,
            updates=updates,
            share=self.share,
            break_even=allowed / self.synapses if self.synapses else math.inf,
        )


@dataclass(frozen=True)
class EnergyModel:
    """What one operation takes, in pJ: a multiply-accumulate, an accumulate, and an access to one word of memory.

    mac_accesses, accumulate_accesses: how many words each of them moves. access=0 leaves memory out. resolution: the
    step of hardware that updates every potential at each of its steps, in units of the input window; None for hardware
    whose potentials integrate by themselves.

    Raises ValueError for a number that is not finite or below 0, an accumulate that takes nothing, or a step of 0.

    Example:
        >>> relu2snn.EnergyModel(mac=4.6, accumulate=0.9, access=5, accumulate_accesses=3).per_accumulate
        15.9
    """

    mac: float
    accumulate: float
    access: float = 0.0
    mac_accesses: float = 0.0
    accumulate_accesses: float = 0.0
    resolution: float | None = None

    def __post_init__(self) -> None:
        for name in ("mac", "accumulate", "access", "mac_accesses", "accumulate_accesses"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}={value}: must be a finite number, at least 0")
        if not self.per_accumulate > 0:
            raise ValueError(f"accumulate={self.accumulate}: an accumulate must take some energy; give more than 0")
        if self.resolution is not None and not (math.isfinite(self.resolution) and self.resolution > 0):
            raise ValueError(f"resolution={self.resolution}: must be greater than 0, in units of the input window")

    @property
    def per_mac(self) -> float:
        """pJ of a multiply-accumulate and of what it moves."""
        return self.mac + self.mac_accesses * self.access

    @property
    def per_accumulate(self) -> float:
        """pJ of an accumulate and of what it moves."""
        return self.accumulate + self.accumulate_accesses * self.access


@dataclass(frozen=True)
class Energy:
    """pJ for one image.

    dense: of the ReLU network; effective: where multiply-accumulates with a 0 are skipped. spiking: of the synaptic
    operations and clocks; all_spikes: where forced spikes are sent as well. updates: of hardware with a time step, on
    top of either; None without one. share: of units that spike, each weighed by its synapses; break_even: the share at
    which `spiking` is `dense`. Above 1 no share is too large, as a unit spikes at most once; below 0 each is.
    """

    dense: float
    effective: float
    spiking: float
    all_spikes: float
    updates: float | None
    share: float
    break_even: float

    @property
    def order(self) -> tuple[str, ...]:
        """The spiking network, the ReLU network and one that skips zeros: what takes least comes first."""
        taken = {"spiking": self.spiking, "zeros skipped": self.effective, "ReLU": self.dense}
        return tuple(sorted(taken, key=lambda name: taken[name]))

    @property
    def verdict(self) -> str:
        """Which network takes less, in one sentence."""
        if self.spiking >= self.dense:
            return "the ReLU network takes less, even without skipping zeros"
        if self.spiking >= self.effective:
            return "the spiking network takes less than the whole ReLU network, more than one that skips zeros"
        return "the spiking network takes less, also than a ReLU network that skips zeros"
