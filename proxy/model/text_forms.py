"""Owns the forms that single texts of a configuration have: hosts, paths, fields' values, origins.

Each check raises ``ValueError`` that says what is wrong and what to write. Pure.
"""

from ipaddress import ip_address, ip_interface, ip_network

from proxy.model.address import Address, parse_authority
from proxy.model.wording import shown


def check_path(text: str) -> None:
    """A path as it is sent, percent-encoded; it begins with ``/``."""
    if not text.startswith("/"):
        raise ValueError(f"a path begins with /, got {shown(text)}")
    check_path_text(text)


def check_path_text(text: str) -> None:
    """A part of such a path."""
    if bad := next((char for char in text if char in "?#" or not "!" <= char <= "~"), None):
        raise ValueError(f"a path as it is sent holds no {shown(bad)}; percent-encode it")


def check_target(text: str) -> None:
    """A path with a query, if need be."""
    check_path(text.partition("?")[0])
    check_path_text(text.partition("?")[2].replace("?", ""))


def check_value(text: str) -> None:
    """Of a header field (RFC 9110 section 5.5)."""
    if text != text.strip(" \t"):
        raise ValueError("a field's value neither begins nor ends with a blank")
    if bad := next((char for char in text if char != "\t" and not char.isprintable()), None):
        raise ValueError(f"a field's value holds no {shown(bad)}")


def check_name(text: str) -> None:
    """A host, none of many."""
    check_host(text)
    if text.startswith("*"):
        raise ValueError(f"expected one host, got {shown(text)}")


def check_authority(text: str) -> None:
    """A host, with a port if need be."""
    parse_authority(text, default_port=80, lowest_port=1)


def check_origin(text: str) -> None:
    """Of pages, as browsers name it: a scheme and a host, or ``*.`` before one; or ``*``."""
    if text == "*":
        return
    scheme, mark, rest = text.partition("://")
    if not mark or not scheme.isalpha():
        raise ValueError(f"expected an origin such as https://shop.example.com, got {shown(text)}")
    parse_authority(rest.removeprefix("*."), default_port=0, lowest_port=1)


def check_host(text: str) -> None:
    """A host, or ``*.`` before one; no port."""
    if text == "*":
        raise ValueError("leave host out to match every host")
    host = text.removeprefix("*.")
    if "*" in host:
        raise ValueError(f"`*` stands only in front, as in *.example.com; got {shown(text)}")
    parse_authority(host, default_port=0, lowest_port=0)
    if (not host.startswith("[") and ":" in host) or "]:" in host:
        raise ValueError(f"requests' ports are ignored; leave the port out of {shown(text)}")


def check_url(text: str) -> None:
    """A control plane's."""
    scheme, _, rest = text.partition("://")
    if "@" in rest:
        raise ValueError("a user or password is not supported; give token_file")
    default = 443 if scheme == "https" else 80
    parse_authority(rest.removesuffix("/"), default_port=default, lowest_port=1)


def check_server(text: str) -> None:
    """A server's address: IPv4 or ``[IPv6]``, with or without a port."""
    parse_server(text)


def parse_server(text: str) -> Address:
    """See ``check_server``; the port is 53 unless it is given.

    Raises: ValueError saying what is wrong with it.
    """
    address = parse_authority(text, default_port=53, lowest_port=1)
    try:
        ip_address(address.host)
    except ValueError:
        raise ValueError(f"expected an IP address, got {shown(text)}") from None
    return address


def check_network(text: str) -> None:
    """A CIDR or an address."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        said = f"expected a CIDR such as 10.0.0.0/8 or an address, got {shown(text)}"
        raise ValueError(said) from None
    if network.network_address != ip_interface(text).ip:
        raise ValueError(f"{text} has bits beyond its prefix; did you mean {network}?")
