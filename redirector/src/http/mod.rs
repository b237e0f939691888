//! The HTTP/1.1 loop of the redirect port.
