//! Arguments of the yardsticks.

use clap::Parser;

#[derive(Debug, Parser)]
pub struct Arguments {
    #[arg(long)]
    pub port: u16,
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Length of the `Location` in bytes.
    #[arg(long, default_value_t = 56)]
    pub location: usize,
}
