"""What everything else stands on: text, files, random seeds, progress."""
