"""What the cache answers counts against the limiter like everything else."""

from tests.fakes.playbook import Play


async def test_answers_from_the_cache_count_against_the_limit(cached: Play) -> None:
    await cached.start(site='rate_limit = {rate = "1/h", burst = 3}\n')
    client = await cached.client()
    await client.send("GET /page HTTP/1.1", "Host: a.test")
    app = await cached.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 4", content=b"page")
    assert (await client.response()).one("X-Cache-Status") == "MISS"
    found = []
    for _ in range(3):
        await client.send("GET /page HTTP/1.1", "Host: a.test")
        response = await client.response()
        found.append((response.status, response.one("X-Cache-Status")))
    assert found == [(200, "HIT"), (200, "HIT"), (429, None)]
