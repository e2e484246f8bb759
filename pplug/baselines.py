"""Personalisation without training: the user's most similar history items, put into the prompt as text."""


def rank_by_words(query: str, texts: list[str]) -> list[int]:
    """Rank texts by the words they share with a query (TF-IDF cosine; ties keep the later text first).

    Args:
        query: The query text.
        texts: The user's history texts, oldest first.

    Returns:
        The texts' positions, most similar first; empty for an empty history.
    """
    if not any(text.strip() for text in texts):  # without words TF-IDF refuses: all are equally similar
        return list(range(len(texts)))[::-1]
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(token_pattern=r"\S+").fit_transform([*texts, query])
    similarity = (vectors[:-1] @ vectors[-1].T).toarray()[:, 0]
    return sorted(range(len(texts)), key=lambda i: (-similarity[i], -i))
