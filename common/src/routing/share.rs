//! The hundredth of the clients to which a client belongs, by a hash: without a cookie and without state.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

/// Returns the number of a client's hundredth, from 0 to 99, for the link with a code.
///
/// The client is known by its network (/24, or /48 of IPv6) and its user agent. Every redirector returns the same number.
pub fn hundredth_of(code: &str, client: IpAddr, user_agent: &[u8]) -> u8 {
    let mut hasher = SipHasher13::new();
    // No code contains a zero, so that two different inputs are different sequences of bytes.
    hasher.write(code.as_bytes());
    hasher.write_u8(0);
    match client {
        IpAddr::V4(address) => hasher.write(&address.octets()[..3]),
        IpAddr::V6(address) => hasher.write(&address.octets()[..6]),
    }
    hasher.write_u8(0);
    hasher.write(user_agent);
    // The upper half of the product is below 100, and uniform.
    let hundredth = (u128::from(hasher.finish()) * 100) >> 64;
    u8::try_from(hundredth).unwrap_or_default()
}
