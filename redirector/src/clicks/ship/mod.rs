//! Shipping: moves clicks from the journals into the store, each once.

mod backlog;
mod country_file;
mod event_budget;
mod parked;
mod shipper;
mod upkeep;

pub use self::shipper::Shipper;
