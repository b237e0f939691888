//! What the yardsticks are told.

use clap::Parser;

#[derive(Debug, Parser)]
pub struct Arguments {
    #[arg(long)]
    pub port: u16,
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Bytes of the `Location`.
    #[arg(long, default_value_t = 56)]
    pub location: usize,
}
