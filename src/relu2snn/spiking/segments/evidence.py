"""What became of the pairs of a neuron and an image: returned by the simulation, summed by the run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """Counts of one population over one or more batches; `a + b` is that of both.

    spikes: those before t_max. chord: pairs whose closed form the certificate's chord proves; binned: those that it
    left open and bins of time prove; simulated: pairs simulated event by event; early: of these the spikes before
    t_min. deviation: the largest |x − x̂| of a simulated pair, between the decoded value and the closed form.
    """

    spikes: int = 0
    chord: int = 0
    binned: int = 0
    simulated: int = 0
    early: int = 0
    deviation: float = 0.0

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(
            self.spikes + other.spikes,
            self.chord + other.chord,
            self.binned + other.binned,
            self.simulated + other.simulated,
            self.early + other.early,
            max(self.deviation, other.deviation),
        )

    @property
    def certified(self) -> int:
        """Pairs whose closed form is proved to be the simulation."""
        return self.chord + self.binned

    @property
    def pairs(self) -> int:
        return self.certified + self.simulated
