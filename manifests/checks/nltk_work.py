"""nltk stems, counts n-grams and scores a translation, all without downloads."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from nltk import ngrams
    from nltk.stem import SnowballStemmer
    from nltk.tokenize import wordpunct_tokenize
    from nltk.translate.bleu_score import sentence_bleu

    words = wordpunct_tokenize("The runners were running; the dogs ran.")
    stems = [SnowballStemmer("english").stem(word) for word in words]
    if stems[1] != "runner" or stems[3] != "run":
        raise AssertionError(f"stems {stems}")
    pairs = list(ngrams(words, 2))
    score = sentence_bleu([words], words)
    if not (len(pairs) == len(words) - 1 and abs(score - 1) < 1e-9):
        raise AssertionError(f"{len(pairs)} pairs, score {score}")
    return {"stems": stems}


if __name__ == "__main__":
    run_check(__file__, check)
