"""Drives Tern with the PyPI package yourls. Arguments: the address of the API, an editor's token, a viewer's token."""

import sys

import requests
from yourls import YOURLSClient
from yourls.exceptions import YOURLSHTTPError, YOURLSNoLoopError, YOURLSNoURLError

api, token, viewer = sys.argv[1:]
client = YOURLSClient(api, signature=token)


def expect(kind, call, *words):
    try:
        call()
    except kind as error:
        assert all(word in str(error) for word in words), error
        return error
    raise AssertionError(f"{kind.__name__} expected")


made = client.shorten("https://www.example.com/\u00e9?a=1&b=2", keyword="sale", title="A & b")
assert made.shorturl.endswith("/sale") and made.title == "A & b"
assert made.url == "https://www.example.com/\u00e9?a=1&b=2"
other = client.shorten("https://www.example.com/other")
assert other.shorturl != made.shorturl, other

assert client.expand("sale") == made.url
assert client.expand(made.shorturl) == made.url
stats = client.url_stats("sale")
assert (stats.shorturl, stats.clicks, stats.date) == (made.shorturl, 0, made.date)
assert requests.get(made.shorturl, allow_redirects=False).status_code == 302
links, totals = client.stats(filter="last", limit=2)
assert [link.shorturl for link in links] == [other.shorturl, made.shorturl], links
assert totals.total_links == 2
links, _ = client.stats(filter="last", limit=1, start=1)
assert [link.shorturl for link in links] == [made.shorturl], links
assert client.db_stats().total_links == 2
with_password = YOURLSClient(api, username="anybody", password=token)
assert with_password.db_stats().total_links == 2

error = expect(YOURLSHTTPError, lambda: client.shorten("https://a.example/", keyword="sale"))
assert error.response.status_code == 400 and error.response.json()["code"] == "error:keyword", error
expect(YOURLSNoURLError, lambda: client.shorten("nonsense"), "URL")
expect(YOURLSNoLoopError, lambda: client.shorten(made.shorturl), "Tern itself")
error = expect(YOURLSHTTPError, lambda: client.expand("nope"), "not found")
assert error.response.status_code == 404, error
error = expect(YOURLSHTTPError, lambda: YOURLSClient(api, signature="wrong").db_stats(), "token")
assert error.response.status_code == 403, error
reader = YOURLSClient(api, signature=viewer)
assert reader.db_stats().total_links == 2
expect(YOURLSHTTPError, lambda: reader.shorten("https://a.example/"), "role")
print("done")
