"""LoRA trains a few parameters of a small model, the others stay as they are, and merging keeps the answers."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import BertConfig, BertForSequenceClassification

    torch.set_num_threads(1)  # such small steps go no faster on more
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 20,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    base = BertForSequenceClassification(BertConfig(**sizes))
    frozen = base.bert.embeddings.word_embeddings.weight.clone()
    model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=16, target_modules=["query", "value"]))
    few, every = model.get_nb_trainable_parameters()
    words = torch.randint(2, 20, (64, 8))
    labels = torch.randint(0, 2, (64,))
    words[labels == 1, 0] = 1
    optimizer = torch.optim.Adam((one for one in model.parameters() if one.requires_grad), 0.02)
    losses = []
    for _ in range(60):
        loss = model(input_ids=words, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    if not (few < every / 4 and losses[-1] < losses[0] / 2):
        raise AssertionError(f"{few} of {every} parameters, loss {losses[0]:.2f} to {losses[-1]:.2f}")
    if not torch.equal(frozen, base.bert.embeddings.word_embeddings.weight):
        raise AssertionError("a frozen weight moved")
    model.eval()
    with torch.no_grad():
        apart = model(input_ids=words).logits
        merged = model.merge_and_unload()(input_ids=words).logits
    if not torch.allclose(apart, merged, atol=1e-4):
        raise AssertionError("merging changes the answers")
    return {"trained": few, "of": every, "loss": [round(losses[0], 2), round(losses[-1], 2)]}


if __name__ == "__main__":
    run_check(__file__, check)
