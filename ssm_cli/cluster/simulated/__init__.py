"""The simulated cluster: servers, network, clocks and faults, all from one seed."""
