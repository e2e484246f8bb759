"""Where users come from, and how they leave again: LaMP's download, own tables and repositories, forgetting."""
