"""spaCy splits sentences, matches patterns, and learns a named entity."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import random

    import spacy
    from spacy.matcher import Matcher
    from spacy.training import Example

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    text = nlp("Dr. Who doesn't sleep. She sails.")
    if len(list(text.sents)) != 2 or [token.text for token in text][2:4] != ["does", "n't"]:
        raise AssertionError(f"{[token.text for token in text]}")
    matcher = Matcher(nlp.vocab)
    matcher.add("negation", [[{"LOWER": "n't"}, {"IS_ALPHA": True}]])
    if [text[start:end].text for _, start, end in matcher(text)] != ["n't sleep"]:
        raise AssertionError("the pattern is not found")
    learner = nlp.add_pipe("ner")
    learner.add_label("CITY")
    cities = ("Oslo", "Rome", "Lima", "Paris")
    lines = [(f"We live in {city} now", {"entities": [(11, 11 + len(city), "CITY")]}) for city in cities]
    examples = [Example.from_dict(nlp.make_doc(line), told) for line, told in lines]
    optimizer = nlp.initialize(lambda: examples)
    random.seed(0)
    for _ in range(30):
        losses = nlp.update(examples, sgd=optimizer)
    found = [(one.text, one.label_) for one in nlp("We live in Rome now").ents]
    if found != [("Rome", "CITY")]:
        raise AssertionError(f"entities {found}, losses {losses}")
    return {"entities": found}


if __name__ == "__main__":
    run_check(__file__, check)
