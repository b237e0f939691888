//! Conversions between Tern's types and PostgreSQL's columns, in the binary format of its protocol.

use std::error::Error;
use std::net::IpAddr;

use ipnet::IpNet;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::event::{Details, EventType};
use crate::link_labels::{ExternalId, Notes};
use crate::product::Price;
use crate::url::Title;
use crate::user::{Email, Username};
use crate::{ClickLimit, Id, RedirectStatus, ShortCode, TargetUrl, Timestamp};

/// Seconds from the Unix epoch to PostgreSQL's, the first of January 2000.
const EPOCH: i64 = 946_684_800;
const MICROSECONDS: i64 = 1_000_000;

type Result<T> = std::result::Result<T, Box<dyn Error + Sync + Send>>;

impl ToSql for Id {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull> {
        self.get().to_sql(ty, out)
    }

    accepts!(INT8);
    to_sql_checked!();
}

impl FromSql<'_> for Id {
    fn from_sql(ty: &Type, raw: &[u8]) -> Result<Id> {
        let value = i64::from_sql(ty, raw)?;
        Id::new(value).ok_or_else(|| format!("{value} is not an id").into())
    }

    accepts!(INT8);
}

impl ToSql for Timestamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull> {
        let since = self.unix_seconds().checked_sub(EPOCH).and_then(|seconds| seconds.checked_mul(MICROSECONDS));
        since.ok_or("a time beyond the range of PostgreSQL")?.to_sql(&Type::INT8, out)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl FromSql<'_> for Timestamp {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Timestamp> {
        let since = i64::from_sql(&Type::INT8, raw)?;
        Ok(Timestamp::from_unix_seconds(since.div_euclid(MICROSECONDS) + EPOCH))
    }

    accepts!(TIMESTAMPTZ);
}

impl ToSql for RedirectStatus {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull> {
        self.code().to_sql(ty, out)
    }

    accepts!(INT2);
    to_sql_checked!();
}

impl FromSql<'_> for RedirectStatus {
    fn from_sql(ty: &Type, raw: &[u8]) -> Result<RedirectStatus> {
        Ok(i64::from(i16::from_sql(ty, raw)?).try_into()?)
    }

    accepts!(INT2);
}

impl ToSql for ClickLimit {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull> {
        self.get().to_sql(ty, out)
    }

    accepts!(INT8);
    to_sql_checked!();
}

impl FromSql<'_> for ClickLimit {
    fn from_sql(ty: &Type, raw: &[u8]) -> Result<ClickLimit> {
        Ok(i64::from_sql(ty, raw)?.try_into()?)
    }

    accepts!(INT8);
}

impl ToSql for Price {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull> {
        self.hundredths().to_sql(ty, out)
    }

    accepts!(INT8);
    to_sql_checked!();
}

impl FromSql<'_> for Price {
    fn from_sql(ty: &Type, raw: &[u8]) -> Result<Price> {
        i64::from_sql(ty, raw).map(Price::from_hundredths)
    }

    accepts!(INT8);
}

/// A network as a `cidr`.
///
/// The manual does not describe the binary format; `network_send` in PostgreSQL's `network.c` writes it.
#[derive(Debug)]
pub(super) struct Network(pub(super) IpNet);

impl ToSql for Network {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull> {
        const IS_CIDR: u8 = 1;
        let mut put = |family: u8, address: &[u8]| {
            out.extend_from_slice(&[family, self.0.prefix_len(), IS_CIDR, address.len() as u8]);
            out.extend_from_slice(address);
        };
        // PostgreSQL has its own numbers for address families, and refuses bits after the prefix.
        match self.0.network() {
            IpAddr::V4(address) => put(2, &address.octets()),
            IpAddr::V6(address) => put(3, &address.octets()),
        }
        Ok(IsNull::No)
    }

    accepts!(CIDR);
    to_sql_checked!();
}

/// Implements `ToSql` for types that are checked texts.
macro_rules! text {
    ($($ty:ty: $as_str:ident),+ $(,)?) => { $(
        impl ToSql for $ty {
            fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull> {
                self.$as_str().to_sql(ty, out)
            }

            accepts!(TEXT);
            to_sql_checked!();
        }
    )+ };
}

text! { Username: as_str, Email: as_str, ShortCode: as_str, TargetUrl: as_given, Title: as_str, EventType: as_str,
Notes: as_str, ExternalId: as_str }

impl ToSql for Details {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull> {
        self.as_str().to_sql(&Type::TEXT, out)
    }

    // The binary format of `json` is its text.
    accepts!(JSON, TEXT);
    to_sql_checked!();
}

impl FromSql<'_> for Details {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Details> {
        Ok(Details::stored(std::str::from_utf8(raw)?))
    }

    accepts!(JSON);
}

/// A `timestamptz` as the server has it: microseconds since [`EPOCH`].
#[derive(Debug)]
pub(super) struct StoredTime(pub(super) i64);

impl ToSql for StoredTime {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull> {
        self.0.to_sql(&Type::INT8, out)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl FromSql<'_> for StoredTime {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<StoredTime> {
        i64::from_sql(&Type::INT8, raw).map(StoredTime)
    }

    accepts!(TIMESTAMPTZ);
}
