"""Tasks, LaMP's files as examples and one history table, metrics, intervals, retrieval. No neural network in here."""
