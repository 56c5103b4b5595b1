"""From a configuration file to a run folder and a report."""
