"""gradio serves a function as a web page and answers its client."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import os

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    import gradio as gr
    from gradio_client import Client

    page = gr.Interface(lambda text, times: text * int(times), ["text", "number"], "text", api_name="repeat")
    _, url, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, share=False)
    try:
        found = Client(url, verbose=False).predict("ab", 3, api_name="/repeat")
    finally:
        page.close()
    if found != "ababab":
        raise AssertionError(f"it answers {found!r}")
    return {"answer": found}


if __name__ == "__main__":
    run_check(__file__, check)
