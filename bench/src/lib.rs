//! What the benchmarks share.

pub mod maps;
pub mod measure;
pub mod sample;
