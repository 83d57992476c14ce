"""Where configuration comes from while the proxy runs: the file and the control stream."""
