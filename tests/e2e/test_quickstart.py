def test_small(small, invoke):
    print(invoke("verify", *small.words).passed().text)
    print(invoke("show", *small.words).text)
    print(invoke("build", *small.words).text)
