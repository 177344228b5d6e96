"""Addresses that an answer may lead to, most of them meant to be read one way by a check and another by what connects."""

from __future__ import annotations

from tests.hostile.wire import Places

#: Of another image, which a redirect must not buy.
OTHER = "/v3/images/OTHER/enhanced?preview=false"


def addresses(places: Places) -> dict[str, str]:
    """Return hostile addresses by name. No name is looked up, and no other machine is asked."""
    api, assets, signed = places.api, places.assets, f"photo.jpg?Signature={places.secret}"
    port = api.partition(":")[2]
    elsewhere = assets.partition(":")[2]
    return {
        "backslash-at-api": f"http://{assets}\\@{api}/{signed}",
        "backslash-at-assets": f"http://{api}\\@{assets}/{signed}",
        "slash-backslash-at": f"http://{assets}/\\@{api}/{signed}",
        "encoded-backslash": f"http://{assets}%5C@{api}/{signed}",
        "hash-at": f"http://{assets}#@{api}/{signed}",
        "question-at": f"http://{assets}?@{api}/{signed}",
        "semicolon-at": f"http://{assets};@{api}/{signed}",
        "user": f"http://user@{assets}/{signed}",
        "user-of-api": f"http://user:{places.secret}@{api}/{signed}",
        "api-as-user": f"http://{api}@{assets}/{signed}",
        "two-users": f"http://a@{assets}@{api}/{signed}",
        "no-scheme": f"//{assets}/{signed}",
        "backslashes": f"\\\\{assets}\\{signed}",
        "slash-and-backslash": f"/\\{assets}/{signed}",
        "one-slash": f"http:/{assets}/{signed}",
        "three-slashes": f"http:///{assets}/{signed}",
        "no-slash": f"http:{assets}/{signed}",
        "scheme-only": "http://",
        "scheme-and-backslashes": f"http:\\\\{assets}\\{signed}",
        "capitals": f"HTTP://{assets}/{signed}",
        "space-in-front": f"  http://{assets}/{signed}",
        "tab-within": f"ht\ttp://{assets}/{signed}",
        "tab-in-host": f"http://127.0.0.1\t:{elsewhere}/{signed}",
        "newline-in-host": f"http://127.0.0.1\n:{elsewhere}/{signed}",
        "newline-in-path": f"http://{assets}/a\r\nx-evil: 1\r\n\r\n{signed}",
        "nul-in-host": f"http://127.0.0.1\0.{assets}/{signed}",
        "nul-in-path": f"http://{assets}/a\0b",
        "escaped-newline": f"http://{assets}/a%0d%0ax-evil:%201",
        "delete-character": f"http://127.0.0.1\x7f:{elsewhere}/{signed}",
        "no-break-space": f"http://\u00a0{assets}/{signed}",
        "zero-width": f"http://127.0.0.1\u200b:{elsewhere}/{signed}",
        "wide-letters": f"http://\uff4c\uff4f\uff43\uff41lhost:{port}/{signed}",
        "wide-dots": f"http://127\u30020\uff0e0\uff611:{port}/{signed}",
        "wide-slash": f"http://{assets}\uff0f@{api}/{signed}",
        "circled-letters": f"http://\u24db\u24de\u24d2al\u24d7ost:{port}/{signed}",
        "soft-hyphen": f"http://local\u00adhost:{port}/{signed}",
        "not-ascii-path": f"http://{assets}/\u00e4\u65e5.jpg",
        "lone-surrogate": f"http://{assets}/\ud800.jpg",
        "decimal-host": f"http://2130706433:{elsewhere}/{signed}",
        "hex-host": f"http://0x7f.0.0.1:{elsewhere}/{signed}",
        "octal-host": f"http://0177.0.0.01:{elsewhere}/{signed}",
        "short-host": f"http://127.1:{elsewhere}/{signed}",
        "zero-host": f"http://0.0.0.0:{elsewhere}/{signed}",
        "dot-behind-host": f"http://127.0.0.1.:{elsewhere}/{signed}",
        "localhost-of-api": f"http://localhost:{port}/{signed}",
        "other-loopback": f"http://127.0.0.2:{port}/{signed}",
        "ipv6": f"http://[::1]:{elsewhere}/{signed}",
        "ipv6-mapped": f"http://[::ffff:127.0.0.1]:{port}/{signed}",
        "ipv6-zone": f"http://[fe80::1%25lo]:{elsewhere}/{signed}",
        "open-bracket": f"http://[::1:{elsewhere}/{signed}",
        "closed-bracket": f"http://::1]:{elsewhere}/{signed}",
        "bracketed-name": f"http://[{assets}]/{signed}",
        "not-an-ipv6": f"http://[v1.x]:{elsewhere}/{signed}",
        "port-too-big": f"http://127.0.0.1:99999/{signed}",
        "port-zero": f"http://127.0.0.1:0/{signed}",
        "port-negative": f"http://127.0.0.1:-1/{signed}",
        "port-word": f"http://127.0.0.1:http/{signed}",
        "port-empty": f"http://127.0.0.1:/{signed}",
        "port-of-elsewhere": f"http://127.0.0.1:\u0663\u0664/{signed}",
        "port-superscript": f"http://127.0.0.1:8\u00b2/{signed}",
        "port-of-5000-digits": f"http://127.0.0.1:{'9' * 5000}/{signed}",
        "port-with-zeros": f"http://127.0.0.1:000{elsewhere}/{signed}",
        "port-plus": f"http://127.0.0.1:+{elsewhere}/{signed}",
        "port-underscore": f"http://127.0.0.1:{elsewhere[:2]}_{elsewhere[2:]}/{signed}",
        "two-ports": f"http://{assets}:{port}/{signed}",
        "dots-host": f"http://..:{elsewhere}/{signed}",
        "long-label": f"http://{'a' * 300}:{elsewhere}/{signed}",
        "percent-host": f"http://127.0.0.1%2f:{elsewhere}/{signed}",
        "bad-percent": f"http://{assets}/%zz%",
        "https-to-plain": f"https://{assets}/{signed}",
        "script": "javascript:alert(1)",
        "data": "data:image/png;base64,iVBORw0KGgo=",
        "file": "file:///etc/passwd",
        "ftp": f"ftp://{assets}/{signed}",
        "unix-socket": "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
        "unknown-scheme": f"gopher://{assets}/{signed}",
        "empty": "",
        "blank": " ",
        "dots": "..",
        "question": "?",
        "hash": "#",
        "relative": f"photo.jpg?Signature={places.secret}",
        "other-image": OTHER,
        "other-image-of-api": f"http://{api}{OTHER}",
        "other-image-with-user": f"http://a@{api}{OTHER}",
        "long": f"http://{assets}/{'a' * 100_000}",
        "very-long": f"http://{assets}/{'ä ' * 500_000}",
        "long-query": f"http://{assets}/?{'a=b&' * 20_000}Signature={places.secret}",
    }


#: The names of all addresses.
NAMES = tuple(addresses(Places("127.0.0.1:10001", "127.0.0.1:10002", "127.0.0.1:10003")))
