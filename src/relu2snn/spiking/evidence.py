"""What became of the pairs of a neuron and an image: returned by the simulation, summed by the run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """What became of the pairs of one population for some images; `a + b` is the evidence of both.

    pairs: all of them. spikes: those before t_max, noise on the spike times apart. binned: pairs the certificate left
    open and the bins proved. simulated: pairs simulated event by event. early: of these the spikes before t_min.
    constructed: pairs whose potential cannot fall before t_min, which a comparison of z with B decides. Those that are
    none of these the certificate proved. deviation: the largest |x − x̂| of a simulated pair, between the decoded value
    and the closed form. peak: the largest lead of all pairs, noise apart.
    """

    pairs: int = 0
    spikes: int = 0
    binned: int = 0
    simulated: int = 0
    early: int = 0
    constructed: int = 0
    deviation: float = 0.0
    peak: float = 0.0

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(
            self.pairs + other.pairs,
            self.spikes + other.spikes,
            self.binned + other.binned,
            self.simulated + other.simulated,
            self.early + other.early,
            self.constructed + other.constructed,
            max(self.deviation, other.deviation),
            max(self.peak, other.peak),
        )

    @property
    def certified(self) -> int:
        """Pairs whose closed form is proved to be the simulation."""
        return self.pairs - self.simulated
