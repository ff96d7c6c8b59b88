"""A small transformer, made here without any download, learns to tell two kinds of sentence apart."""

from __future__ import annotations

import os
from pathlib import Path

from lib.outcome import run_check


def check() -> dict[str, object]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, pipeline

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "the", "cat", "dog", "sleeps", "runs", "fast", "now", "well"]
    plain = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]")
    ends = ("", "now", "fast", "well now", "fast now")
    texts = [f"the {who} {does} {end}".strip() for who in ("cat", "dog") for does in ("sleeps", "runs") for end in ends]
    # a cat that sleeps or a dog that runs: neither word tells alone
    labels = torch.tensor([int(("cat" in text) == ("sleeps" in text)) for text in texts])
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=2,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(120):
        loss = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if not (losses[-1] < 0.2 * losses[0]):
        raise AssertionError(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    model.save_pretrained("model")
    tokenizer.save_pretrained("model")
    classify = pipeline("text-classification", model="model", tokenizer="model", device="cpu")
    found = [int(answer["label"] == "LABEL_1") for answer in classify(texts)]
    if found != labels.tolist():
        raise AssertionError("the saved model answers otherwise")
    size = Path("model/model.safetensors").stat().st_size
    return {"loss": [round(losses[0], 3), round(losses[-1], 4)], "bytes": size}


if __name__ == "__main__":
    run_check(__file__, check)
