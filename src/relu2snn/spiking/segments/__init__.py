"""The simulation of any graph of segments; `relu2snn.spiking` itself still simulates chains of Keras layers."""
