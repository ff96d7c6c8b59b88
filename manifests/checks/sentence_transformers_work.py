"""a small model made here gives vectors of length one, is kept in a folder, and finds the sentence that was asked."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from pathlib import Path

    import torch
    from sentence_transformers import SentenceTransformer, models, util
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cats", "dogs", "chase", "mice", "bonds", "pay", "interest"]
    Path("base").mkdir()
    Path("base/vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizerFast("base/vocab.txt").save_pretrained("base")
    sizes = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    BertModel(BertConfig(**sizes)).save_pretrained("base")
    word = models.Transformer("base")
    made = SentenceTransformer(modules=[word, models.Pooling(32), models.Normalize()], device="cpu")
    made.save("kept")
    model = SentenceTransformer("kept", device="cpu")
    texts = ["cats chase mice", "bonds pay interest"]
    vectors = model.encode(texts, convert_to_tensor=True)
    if not torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5):
        raise AssertionError(f"lengths {vectors.norm(dim=1)}")
    hits = util.semantic_search(model.encode(["bonds pay interest"], convert_to_tensor=True), vectors)[0]
    if hits[0]["corpus_id"] != 1 or not hits[0]["score"] > hits[1]["score"] + 1e-3:
        raise AssertionError(f"found {hits}")
    return {"score": round(float(hits[0]["score"]), 4)}


if __name__ == "__main__":
    run_check(__file__, check)
