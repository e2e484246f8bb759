"""What every other room stands on: errors, files that are never half-written, reading what anyone may have written."""
