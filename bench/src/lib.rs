//! Modules shared by the benchmark programs.

pub mod answer;
pub mod append;
pub mod charts;
pub mod cost;
pub mod document;
pub mod environment;
pub mod figures;
pub mod goals;
pub mod idle;
pub mod machine;
pub mod measurements;
pub mod run;
pub mod servers;
pub mod turns;
pub mod workload;
pub mod yardstick;
