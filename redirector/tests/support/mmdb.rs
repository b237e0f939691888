//! Files with the countries of networks, in MaxMind's format.

use ipnet::IpNet;

/// A string in a file of countries.
pub fn string(text: &str) -> Vec<u8> {
    [&[0x40 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// A map in a file of countries.
pub fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs_of_bytes = pairs.iter().flat_map(|(name, value)| [string(name), value.clone()].concat());
    [0xe0 | u8::try_from(pairs.len()).unwrap()].into_iter().chain(pairs_of_bytes).collect()
}

/// Returns a file in which the networks of one length have values.
pub fn file(networks: &[(&str, Vec<u8>)]) -> Vec<u8> {
    #[derive(Clone, Copy)]
    enum To {
        Nothing,
        Node(usize),
        Data(usize),
    }
    let (mut nodes, mut data) = (vec![[To::Nothing; 2]], Vec::new());
    for (network, value) in networks {
        let network: IpNet = network.parse().unwrap();
        // IPv4 is the network ::/96.
        let (bits, len) = match network {
            IpNet::V4(v4) => (u128::from(v4.network().to_bits()), 96 + v4.prefix_len()),
            IpNet::V6(v6) => (v6.network().to_bits(), v6.prefix_len()),
        };
        let mut node = 0;
        for depth in 0..len {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == len {
                nodes[node][side] = To::Data(data.len());
            } else if let To::Node(next) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([To::Nothing; 2]);
                nodes[node][side] = To::Node(nodes.len() - 1);
                node = nodes.len() - 1;
            }
        }
        data.extend(value);
    }
    let count = nodes.len();
    let number = |to| match to {
        To::Nothing => count,
        To::Node(node) => node,
        To::Data(offset) => count + 16 + offset,
    };
    let tree = nodes.iter().flatten().flat_map(|to| number(*to).to_be_bytes()[5..].to_vec());
    let metadata = map(&[
        ("binary_format_major_version", vec![0xa1, 2]),
        ("binary_format_minor_version", vec![0xa1, 0]),
        ("record_size", vec![0xa1, 24]),
        ("ip_version", vec![0xa1, 6]),
        ("node_count", [&[0xc4], &u32::try_from(count).unwrap().to_be_bytes()[..]].concat()),
        ("database_type", string("Test")),
        ("languages", vec![0, 4]),
        ("build_epoch", vec![1, 2, 1]),
        ("description", map(&[])),
    ]);
    tree.chain([0; 16]).chain(data).chain(*b"\xab\xcd\xefMaxMind.com").chain(metadata).collect()
}

/// Returns a country by its code, as in the files of MaxMind.
pub fn iso(code: &str) -> Vec<u8> {
    map(&[("iso_code", string(code))])
}
