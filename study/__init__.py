"""What is learned by running a model: bench, sensitivity, frontier, search, calibration; and doctor, about the machine."""
