"""What tests stand on: real servers, real processes, a faulty network, and patience."""
