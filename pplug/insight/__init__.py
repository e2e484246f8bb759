"""Looking into trained plugs: maps of users, probes, attacks, blurring, figures."""
