"""gensim learns word vectors in which words of one subject are near, and keeps them in a file."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import random

    from gensim.models import Word2Vec

    random.seed(0)
    subjects = (["cat", "dog", "horse", "cow", "sheep"], ["bread", "cheese", "wine", "apple", "butter"])
    lines = [random.choices(random.choice(subjects), k=6) for _ in range(1000)]
    Word2Vec(lines, vector_size=16, window=4, min_count=1, epochs=20, seed=0, workers=1).save("words.model")
    words = Word2Vec.load("words.model").wv
    near, far = float(words.similarity("cat", "dog")), float(words.similarity("cat", "wine"))
    if not near > far + 0.3:
        raise AssertionError(f"cat is to dog {near:.2f}, to wine {far:.2f}")
    return {"near": round(near, 2), "far": round(far, 2)}


if __name__ == "__main__":
    run_check(__file__, check)
