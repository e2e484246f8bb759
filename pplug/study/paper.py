"""The paper's numbers, for tables to show beside ours in a column of their own. None of them is ours.

Liu et al., *LLMs + Persona-Plug = Personalized LLMs*, ACL 2025. Measured on LaMP (time-based split), FlanT5-XXL, BGE.
"""

# Table 1, test: task → metric → (FlanT5-XXL without personalisation ["Ad-hoc"], PPlug)
TABLE_1_TEST = {
    "LaMP-1": {"accuracy": (0.502, 0.700)},
    "LaMP-2": {"accuracy": (0.359, 0.559), "f1": (0.276, 0.495)},
    "LaMP-3": {"mae": (0.308, 0.242), "rmse": (0.611, 0.557)},
    "LaMP-4": {"rouge1": (0.176, 0.211), "rougeL": (0.160, 0.193)},
    "LaMP-5": {"rouge1": (0.478, 0.487), "rougeL": (0.428, 0.439)},
    "LaMP-7": {"rouge1": (0.449, 0.537), "rougeL": (0.396, 0.484)},
}

# Table 8, validation: variant → task → headline metric
TABLE_8_VALIDATION = {
    "PPlug": {
        "LaMP-1": 0.6800,
        "LaMP-2": 0.5652,
        "LaMP-3": 0.2312,
        "LaMP-4": 0.2162,
        "LaMP-5": 0.4869,
        "LaMP-7": 0.5338,
    },
    "w/o instruction embedding": {
        "LaMP-1": 0.6786,
        "LaMP-2": 0.5510,
        "LaMP-3": 0.2304,
        "LaMP-4": 0.2142,
        "LaMP-5": 0.4852,
        "LaMP-7": 0.5301,
    },
    "w/o input-aware (mean pooling)": {
        "LaMP-1": 0.6786,
        "LaMP-2": 0.5644,
        "LaMP-3": 0.2320,
        "LaMP-4": 0.2160,
        "LaMP-5": 0.4852,
        "LaMP-7": 0.5351,
    },
}

# Table 4, validation: the plug with the four items of largest weight; task → headline metric
TABLE_4_VALIDATION = dict(zip(TABLE_1_TEST, (0.675, 0.492, 0.239, 0.205, 0.485, 0.530), strict=True))

# Table 1, test, the rivals' headline metrics: the paper's name of a row → task → number
RIVALS_TEST = {
    "per-user LoRA": dict(zip(TABLE_1_TEST, (0.506, 0.360, 0.301, 0.178, 0.478, 0.449), strict=True)),
    "BM25": dict(zip(TABLE_1_TEST, (0.626, 0.387, 0.298, 0.186, 0.477, 0.446), strict=True)),
    "Recency": dict(zip(TABLE_1_TEST, (0.622, 0.377, 0.296, 0.189, 0.475, 0.444), strict=True)),
    "Contriever": dict(zip(TABLE_1_TEST, (0.636, 0.396, 0.299, 0.183, 0.483, 0.440), strict=True)),
    "ROPG-RL": dict(zip(TABLE_1_TEST, (0.655, 0.391, 0.286, 0.191, 0.475, 0.448), strict=True)),
    "ROPG-KD": dict(zip(TABLE_1_TEST, (0.668, 0.396, 0.290, 0.187, 0.477, 0.441), strict=True)),
    "RSPG-Pre": dict(zip(TABLE_1_TEST, (0.663, 0.405, 0.282, 0.190, 0.483, 0.450), strict=True)),
    "RSPG-Post": dict(zip(TABLE_1_TEST, (0.672, 0.430, 0.264, 0.203, 0.480, 0.461), strict=True)),
}

# Section 4.1's table of LaMP, time-based: task → questions (train, dev, test), mean tokens of an input, of an output
# (one where the paper has none: a label), mean items of a history
DATA = {
    "LaMP-1": ((6542, 1500, 1500), 51.4, 1.0, 84.2),
    "LaMP-2": ((5073, 1410, 1557), 92.4, 1.0, 86.8),
    "LaMP-3": ((20000, 2500, 2500), 128.2, 1.0, 185.4),
    "LaMP-4": ((12500, 1500, 1800), 30.0, 10.1, 204.6),
    "LaMP-5": ((14682, 1500, 1500), 162.3, 9.7, 87.9),
    "LaMP-7": ((13437, 1498, 1500), 29.7, 17.0, 15.7),
}
